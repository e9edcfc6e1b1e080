// Sentences in, spoken by screen readers. Several in a short time become one announcement; a crowd becomes a number.

const GATHER_MS = 400;
const SENTENCES_MAX = 4;

let waiting: string[] = [];

export function announce(sentence: string): void {
  waiting.push(sentence);
  if (waiting.length > 1) return;
  setTimeout(() => {
    const more = waiting.length - SENTENCES_MAX;
    const shown = waiting.slice(0, SENTENCES_MAX).join(" ");
    const region = document.getElementById("announcer");
    if (region) region.textContent = more > 0 ? `${shown} And ${more} more changes.` : shown;
    waiting = [];
  }, GATHER_MS);
}
