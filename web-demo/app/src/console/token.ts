// The operator's token: from the address or the form, kept for as long as the tab is open, and nowhere else.

const KEY = "tercet.admin-token";

/** A token of the address's fragment, which no server and no log gets to see; and the address without it. */
export function takeToken(href: string): { token: string | null; href: string } {
  const url = new URL(href);
  const fragment = new URLSearchParams(url.hash.slice(1));
  const token = fragment.get("token")?.trim() || null;
  if (!fragment.has("token")) return { token, href };
  fragment.delete("token");
  url.hash = fragment.toString();
  return { token, href: url.href.replace(/#$/, "") };
}

/** Whether it can stand in a header at all: a browser refuses to send anything else. */
export function isSendable(token: string): boolean {
  return /^[\x21-\x7e]+$/.test(token);
}

export function keptToken(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function keepToken(token: string | null): void {
  try {
    if (token === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, token);
  } catch {
    // Storage is forbidden: a reload asks again.
  }
}
