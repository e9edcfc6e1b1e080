// Sentences in, spoken by screen readers. Several in a short time become one announcement; a crowd becomes a number.

const GATHER_MS = 400;
const SENTENCES_MAX = 4;

let waiting: string[] = [];

let gathering: ReturnType<typeof setTimeout> | undefined;

/** What was said in a room is not to be found outside of it. */
export function hush(): void {
  clearTimeout(gathering);
  waiting = [];
  document.getElementById("announcer")?.replaceChildren();
}

export function announce(sentence: string): void {
  waiting.push(sentence);
  if (waiting.length > 1) return;
  gathering = setTimeout(() => {
    const more = waiting.length - SENTENCES_MAX;
    const shown = waiting.slice(0, SENTENCES_MAX).join(" ");
    const region = document.getElementById("announcer");
    if (region) region.textContent = more > 0 ? `${shown} And ${more} more changes.` : shown;
    waiting = [];
  }, GATHER_MS);
}
