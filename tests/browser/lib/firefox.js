// Debian's Firefox, headless, by WebDriver BiDi, behind the few calls that `joinAs` needs of a page.

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import puppeteer from "puppeteer-core";

const executablePath = process.env.FIREFOX ?? "/usr/bin/firefox-esr";

/** The tone of the synthetic microphone. */
export const FAKE_MICROPHONE_HZ = 800;

/** A Firefox whose pages may use a synthetic microphone. */
export async function openFirefox() {
  const profile = await mkdtemp(join(tmpdir(), "tercet-firefox-"));
  const firefox = await puppeteer.launch({
    browser: "firefox",
    executablePath,
    headless: true,
    userDataDir: profile,
    extraPrefsFirefox: {
      "media.peerconnection.ice.obfuscate_host_addresses": false,
      "media.navigator.permission.disabled": true,
      "media.navigator.streams.fake": true,
      "media.navigator.audio.fake_frequency": FAKE_MICROPHONE_HZ,
      "media.autoplay.default": 0,
    },
  });
  return {
    newPage: async () => asPlaywright(await firefox.newPage()),
    close: async () => {
      await firefox.close();
      await rm(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
    },
  };
}

/** Puppeteer passes arguments one by one, and options before them. */
function asPlaywright(page) {
  return {
    goto: (url) => page.goto(url),
    addScriptTag: (options) => page.addScriptTag(options),
    evaluate: (fn, argument) => page.evaluate(fn, argument),
    waitForFunction: (fn, argument, options) => page.waitForFunction(fn, options, argument),
  };
}
