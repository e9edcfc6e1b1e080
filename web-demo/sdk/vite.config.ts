// Sources in, two files out: `dist/tercet.js`, one ES module without imports, and its declarations. Those are the
// declarations of `src/api.ts`, which imports nothing, and the one of `connect`.

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const connect = `/** Enters the room that the token names. Rejects with a \`TercetError\`: the server's refusal, or \`unreachable\`. */
export declare function connect(options: ConnectOptions): Promise<Room>;
`;

const declarations: Plugin = {
  name: "declarations",
  closeBundle() {
    const options = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", "dist"];
    const language = ["--target", "ES2022", "--lib", "ES2023,DOM", "--types", "", "--ignoreConfig"];
    execFileSync("tsc", ["src/api.ts", ...options, ...language], { stdio: "inherit" });
    writeFileSync("dist/tercet.d.ts", readFileSync("dist/api.d.ts", "utf8") + connect);
    rmSync("dist/api.d.ts");
  },
};

export default defineConfig({
  build: {
    lib: { entry: "src/tercet.ts", formats: ["es"], fileName: () => "tercet.js" },
    target: "es2022",
    minify: true,
    sourcemap: false,
  },
  plugins: [declarations],
});
