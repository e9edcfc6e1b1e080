// Sources in, two files out: `dist/tercet.js`, one ES module without imports, and its declarations. Those are the
// declarations of `src/api.ts`, which imports nothing, and those of the two functions.

import { execFileSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const functions = `/**
 * Enters the room that the token names. Resolves when the server has answered the media offer, which is before media
 * flows: if it doesn't within 10 s, the room's \`error\` event says \`media_unreachable\`. Rejects with a
 * \`TercetError\`: the server's refusal, or \`unreachable\`.
 */
export declare function connect(options: ConnectOptions): Promise<Room>;
/** The wait before attempt \`attempt\`, counted from 0: doubling from 250 ms to 5 s, half of it random. */
export declare function backoffMs(attempt: number): number;
/**
 * Returns a function that observes an element which shows the video slot of that index, and returns how to end that: how high it is
 * drawn, and whether it can be seen at all, goes to \`room.view\`. Of several elements of a slot the largest counts.
 */
export declare function observeView(room: Pick<Room, "view">): (element: HTMLElement, index: number) => () => void;
`;

const declarations: Plugin = {
  name: "declarations",
  closeBundle() {
    const options = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", "dist"];
    const language = ["--target", "ES2022", "--lib", "ES2023,DOM", "--types", "", "--ignoreConfig"];
    execFileSync("tsc", ["src/api.ts", ...options, ...language], { stdio: "inherit" });
    writeFileSync("dist/tercet.d.ts", readFileSync("dist/api.d.ts", "utf8") + functions);
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
