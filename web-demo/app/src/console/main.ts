// The console: asks the server every two seconds what its cluster looks like, and draws it.

import { serverOf } from "../address.js";
import { ask } from "./answer.js";
import { keepToken, keptToken, takeToken } from "./token.js";
import { ConsoleView } from "./view.js";
import "../styles/base.css";
import "../styles/join.css";
import "../styles/console.css";

const POLL_MS = 2_000;

const server = serverOf(location.href);
let token = keptToken();
let next: ReturnType<typeof setTimeout> | undefined;
/** Counts what was asked: an answer to a token that was replaced meanwhile is nobody's. */
let asked = 0;

const view = new ConsoleView({ enter: use, leave });

function use(given: string): void {
  token = given;
  keepToken(given);
  void poll();
}

function forget(): void {
  token = null;
  keepToken(null);
}

/** What is asked without it is answered as it is to everybody. */
function leave(): void {
  forget();
  void poll();
}

async function poll(): Promise<void> {
  clearTimeout(next);
  asked += 1;
  const own = asked;
  const answer = await ask(server, token);
  if (own !== asked) return;
  // A token that opens nothing isn't kept: a reload would only show it refused again.
  if (answer.kind === "closed") forget();
  else next = setTimeout(poll, POLL_MS);
  view.show(answer, new Date(), token !== null);
}

/** Also of an address that is pasted while the page is open. */
function readFragment(): boolean {
  const taken = takeToken(location.href);
  if (taken.href !== location.href) history.replaceState(null, "", taken.href);
  if (taken.token === null) return false;
  use(taken.token);
  return true;
}

document.getElementById("app")?.replaceChildren(view.element);
addEventListener("hashchange", readFragment);
if (!readFragment()) void poll();
