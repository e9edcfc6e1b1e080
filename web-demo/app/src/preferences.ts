// What the page remembers: between visits, or for as long as this tab is open. Where storage is forbidden it
// remembers nothing.

type Name = "name" | "microphone" | "camera" | "output" | "volume" | "view";
type TabName = "name" | "muted";

/** What this tab has; of what it doesn't, what the latest visit left. */
export function recall(name: Name | TabName): string {
  return read("sessionStorage", name) ?? read("localStorage", name) ?? "";
}

export function remember(name: Name, value: string): void {
  write("localStorage", name, value);
}

/** Two tabs may be two people: what one of them is called, or whether it is muted, is nothing to the other. */
export function rememberInTab(name: TabName, value: string): void {
  write("sessionStorage", name, value);
}

function read(storage: "localStorage" | "sessionStorage", name: string): string | null {
  try {
    return globalThis[storage].getItem(`tercet.${name}`);
  } catch {
    return null;
  }
}

function write(storage: "localStorage" | "sessionStorage", name: string, value: string): void {
  try {
    globalThis[storage].setItem(`tercet.${name}`, value);
  } catch {
    // A private window: the next visit asks again.
  }
}
