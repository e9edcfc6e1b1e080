// Debian's Chromium, headless, with a profile of its own and synthetic capture devices.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const executablePath = process.env.CHROMIUM ?? "/usr/bin/chromium";

const args = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--use-fake-device-for-media-stream",
  "--autoplay-policy=no-user-gesture-required",
  "--disable-features=WebRtcHideLocalIpsWithMdns",
  // All pages but one are in the background, and have to go on all the same.
  "--disable-background-timer-throttling",
  "--disable-renderer-backgrounding",
  "--disable-backgrounding-occluded-windows",
];

// A machine without a network has no other interface to gather candidates on.
const withLoopback = "--allow-loopback-in-peer-connection";

/** A browser whose pages may (or may not) use the microphone, and loopback for media. `program` starts it, if not the usual. */
export async function openBrowser({ microphone = true, loopback = true, program = executablePath, ...options } = {}) {
  const profile = await mkdtemp(join(tmpdir(), "tercet-chromium-"));
  const ui = microphone ? ["--use-fake-ui-for-media-stream"] : ["--deny-permission-prompts"];
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: program,
    headless: true,
    args: [...args, ...ui, ...(loopback ? [withLoopback] : [])],
    ...options,
  });
  return {
    newPage: () => context.newPage(),
    close: async () => {
      await context.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}
