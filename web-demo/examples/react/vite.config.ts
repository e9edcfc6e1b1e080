// The example: sources in, `dist/index.html` and its assets out. In development `/v1` goes to a running server.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const server = process.env.TERCET_URL ?? "http://127.0.0.1:8080";
const sdk = (name: string) => fileURLToPath(new URL(`../../sdk/src/${name}.ts`, import.meta.url));

export default defineConfig({
  base: "./",
  resolve: {
    alias: [
      { find: "@tercet/sdk/react", replacement: sdk("react") },
      { find: "@tercet/sdk", replacement: sdk("tercet") },
    ],
  },
  build: { target: "es2022", modulePreload: { polyfill: false } },
  server: { proxy: { "/v1": { target: server, ws: true } } },
});
