import { after, before, test } from "node:test";
import { openBrowser } from "/work/main/tests/browser/lib/browser.js";
import { joinWatching, pictures, turnOn } from "/work/main/tests/browser/lib/picture.js";
import { startServer } from "/work/main/tests/browser/lib/server.js";
let server, browser;
before(async () => { server = await startServer("--log","warn,tercet::media::plane::layers=trace"); browser = await openBrowser(); });
after(async () => { await browser?.close(); await server?.stop(); });
test("x", async () => {
  const videoCodec = process.env.CODEC;
  const ada = await joinWatching(browser, server, { room: "r", name: "ada", sdk: { videoCodec } });
  await turnOn(ada, "red", { width: 960, height: 540, detail: !!process.env.DETAIL });
  const eve = await joinWatching(browser, server, { room: "r", name: "eve" });
  for (let i = 0; i < 8; i++) {
    await new Promise((r) => setTimeout(r, 1500));
    const it = await ada.page.evaluate(async () => {
      const pc = window.room.peerConnection;
      const sender = pc.getSenders().find((s) => s.track?.kind === "video");
      const stats = [...(await pc.getStats()).values()];
      return { p: sender?.getParameters().encodings, o: stats.filter((s) => s.type === "outbound-rtp" && s.kind === "video").map((s) => [s.rid, s.frameHeight, s.framesSent, s.targetBitrate, s.scalabilityMode, s.qualityLimitationReason, s.active]), bw: stats.filter((s)=>s.type==="candidate-pair"&&s.availableOutgoingBitrate).map((s)=>s.availableOutgoingBitrate) };
    });
    console.log(JSON.stringify(it), JSON.stringify(await pictures(eve)));
  }
});
