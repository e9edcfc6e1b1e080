// The tests of both packages, in node: what needs a browser is tested by tests/browser of the repository.

import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";

export default defineConfig({
  resolve: { alias: { "@tercet/sdk": fileURLToPath(new URL("sdk/src/tercet.ts", import.meta.url)) } },
  test: { include: ["{sdk,app}/test/**/*.test.ts"] },
});
