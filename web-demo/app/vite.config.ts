// The demo: sources in, `dist/index.html` and its assets out, which the server embeds and serves at `/`. Paths are
// relative, so that it works below a prefix too. In development `/v1` goes to a running server.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const server = process.env.TERCET_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  base: "./",
  // The source, not the build: an edit of the SDK shows at once.
  resolve: { alias: { "@tercet/sdk": fileURLToPath(new URL("../sdk/src/tercet.ts", import.meta.url)) } },
  build: { target: "es2022", modulePreload: { polyfill: false } },
  server: { proxy: { "/v1": { target: server, ws: true } } },
});
