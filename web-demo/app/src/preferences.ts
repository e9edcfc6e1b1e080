// What the page remembers between visits. Where storage is forbidden it remembers nothing.

type Name = "name" | "microphone" | "output" | "volume";

export function recall(name: Name): string {
  try {
    return localStorage.getItem(`tercet.${name}`) ?? "";
  } catch {
    return "";
  }
}

export function remember(name: Name, value: string): void {
  try {
    localStorage.setItem(`tercet.${name}`, value);
  } catch {
    // A private window: the next visit asks again.
  }
}
