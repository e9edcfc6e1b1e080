// The second entry: `dist/react.js`, which imports React and `./tercet.js` beside it, and its declarations.

import { execFileSync } from "node:child_process";
import { cpSync, rmSync } from "node:fs";
import { defineConfig, type Plugin } from "vite";

const declarations: Plugin = {
  name: "declarations",
  closeBundle() {
    const options = ["--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", "dist/types"];
    const language = ["--target", "ES2022", "--module", "ESNext", "--moduleResolution", "bundler"];
    const types = ["--lib", "ES2023,DOM,DOM.Iterable", "--types", "", "--skipLibCheck", "--ignoreConfig"];
    execFileSync("tsc", ["src/react.ts", "--rootDir", "src", ...options, ...language, ...types], {
      stdio: "inherit",
    });
    cpSync("dist/types/react.d.ts", "dist/react.d.ts");
    cpSync("dist/types/react", "dist/react", { recursive: true });
    rmSync("dist/types", { recursive: true });
  },
};

export default defineConfig({
  build: {
    lib: { entry: "src/react.ts", formats: ["es"], fileName: () => "react.js" },
    // One module has the rooms, whichever entry they come by.
    rolldownOptions: {
      external: ["react", /\/tercet\.js$/],
      output: { paths: (id) => (id.endsWith("tercet.js") ? "./tercet.js" : id) },
    },
    target: "es2022",
    minify: true,
    sourcemap: false,
    emptyOutDir: false,
  },
  plugins: [declarations],
});
