// The demo and the console: sources in, `dist/index.html`, `dist/console.html` and their assets out, which the server
// embeds and serves at `/` and `/console`. Paths are relative, so that it works below a prefix too. In development
// `/v1` goes to a running server.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const server = process.env.TERCET_URL ?? "http://127.0.0.1:8080";
const page = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export default defineConfig({
  base: "./",
  // The source, not the build: an edit of the SDK shows at once.
  resolve: { alias: { "@tercet/sdk": fileURLToPath(new URL("../sdk/src/tercet.ts", import.meta.url)) } },
  build: {
    target: "es2022",
    modulePreload: { polyfill: false },
    rolldownOptions: { input: [page("index.html"), page("console.html")] },
  },
  server: { proxy: { "/v1": { target: server, ws: true } } },
});
