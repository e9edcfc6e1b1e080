// What the page tells about the network and about its own end. Outside a browser it tells nothing.

/** Calls `handler` when a connection that was lost may have become possible again. */
export function onWake(handler: () => void): () => void {
  const seen = () => {
    if (document.visibilityState === "visible") handler();
  };
  globalThis.addEventListener?.("online", handler);
  globalThis.document?.addEventListener("visibilitychange", seen);
  return () => {
    globalThis.removeEventListener?.("online", handler);
    globalThis.document?.removeEventListener("visibilitychange", seen);
  };
}

/** Calls `handler` when the page goes away for good or into the browser's cache, where no connection survives. */
export function onPageHide(handler: () => void): () => void {
  globalThis.addEventListener?.("pagehide", handler);
  return () => globalThis.removeEventListener?.("pagehide", handler);
}
