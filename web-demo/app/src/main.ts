// The page is one of two views. The address comes in; a filled form leads from the join view to a room, and the end
// of the room leads back. Who lost the room without wanting to is brought there again.

import { type CloseReason, connect, type Room } from "@tercet/sdk";
import { claimsOf, demoIsOpen, demoToken } from "./access.js";
import { readAddress, serverOf, withRoom } from "./address.js";
import { hush } from "./announcer.js";
import { closeCamera } from "./camera.js";
import { DeviceError } from "./device.js";
import { recall, remember, rememberInTab } from "./preferences.js";
import { mayRejoin, rejoin } from "./rejoin.js";
import { sentenceOfEnd, sentenceOfError } from "./sentences.js";
import { JoinView, type JoinWish } from "./views/join.js";
import { RoomView } from "./views/room.js";
import { Voice } from "./voice.js";
import "./styles/base.css";
import "./styles/join.css";
import "./styles/room.css";
import "./styles/pictures.css";
import "./styles/people.css";
import "./styles/calls.css";

declare global {
  interface Window {
    /** For automation and for the curious: the room, while in one. */
    tercetRoom?: Room | undefined;
  }
}

const app = document.getElementById("app") as HTMLElement;
const server = serverOf(location.href);

function showJoin(notice = ""): JoinView {
  const address = readAddress(location.href);
  const claims = address.token === null ? null : claimsOf(address.token);
  const view = new JoinView({ room: address.room, claims, submit: (wish) => enter(view, wish) });
  hush();
  app.replaceChildren(view.element);
  document.title = "Tercet";
  if (notice) view.showNotice(notice);
  return view;
}

async function learnAccess(view: JoinView): Promise<void> {
  if (readAddress(location.href).token !== null) return;
  try {
    if (!(await demoIsOpen(server))) view.askForToken();
  } catch {
    view.showNotice("The server doesn't answer. Once it runs, this form works without a reload.");
  }
}

async function enter(view: JoinView, wish: JoinWish): Promise<void> {
  const address = readAddress(location.href);
  const voice = new Voice(address);
  const listens = wish.listener || (address.token !== null && claimsOf(address.token)?.role === "listener");
  view.setBusy(true);
  try {
    const trouble = listens && !voice.isTone ? null : await openVoice(voice);
    const room = await connectAs(wish, voice);
    remember("name", wish.name);
    rememberInTab("name", wish.name);
    if (address.token === null) history.replaceState(null, "", withRoom(location.href, room.id));
    view.close();
    if (!room.videoTrack) closeCamera(wish.camera);
    showRoom(room, voice, wish).begin(trouble);
  } catch (error) {
    voice.releaseAll();
    view.setBusy(false);
    view.showNotice(sentenceOfError(error));
  }
}

async function connectAs(wish: JoinWish, voice: Voice): Promise<Room> {
  const { room, name, listener, camera } = wish;
  const role = listener ? "listener" : "speaker";
  const token = readAddress(location.href).token ?? (await demoToken(server, { room, name, role }));
  // A device that was unplugged while nobody was in a room.
  if (voice.track?.readyState === "ended") voice.releaseAll();
  // Whoever was muted in this tab isn't heard by surprise after a rejoin or a reload.
  const muted = recall("muted") === "true";
  const tracks = { audioTrack: voice.track, videoTrack: camera, video: true };
  return connect({ url: server, token, name, ...tracks, muted });
}

/** The microphone is kept meanwhile: opening it again might ask, and nobody may be there to answer. */
async function comeBack(reason: CloseReason, wish: JoinWish, voice: Voice): Promise<void> {
  const view = showJoin();
  view.setBusy(true);
  view.showNotice(`${sentenceOfEnd(reason)} Joining again…`);
  try {
    const room = await rejoin(() => connectAs(wish, voice));
    view.close();
    const muted = room.me.muted && room.audioTrack ? " You are still muted." : "";
    showRoom(room, voice, wish).begin(null, `${sentenceOfEnd(reason)} You are back in the room.${muted}`);
  } catch (error) {
    voice.releaseAll();
    view.setBusy(false);
    view.showNotice(sentenceOfError(error));
  }
}

/** Without a microphone one can still listen: what is wrong with it is told in the room. */
async function openVoice(voice: Voice): Promise<DeviceError | null> {
  try {
    await voice.open();
    return null;
  } catch (error) {
    if (error instanceof DeviceError) return error;
    throw error;
  }
}

function showRoom(room: Room, voice: Voice, wish: JoinWish): RoomView {
  const view = new RoomView(room, voice);
  window.tercetRoom = room;
  document.title = `${room.id} · Tercet`;
  room.on("left", (reason) => {
    window.tercetRoom = undefined;
    view.close();
    // A demotion is kept, and a promotion too; who moderates is the server's decision. The camera is off by now.
    const now = { ...wish, room: room.id, listener: room.me.role === "listener", camera: null };
    if (mayRejoin(reason)) return void comeBack(reason, now, voice);
    voice.releaseAll();
    void learnAccess(showJoin(sentenceOfEnd(reason)));
  });
  app.replaceChildren(view.element);
  view.focus();
  return view;
}

void learnAccess(showJoin());
