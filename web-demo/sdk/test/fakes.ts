// Stand-ins for the browser's WebSocket and RTCPeerConnection, whose other ends a test holds: it reads what was
// sent and says what comes back.

import { afterEach, beforeEach, vi } from "vitest";

type Json = Record<string, unknown>;

export class FakeSocket {
  static readonly OPEN = 1;
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    const socket = FakeSocket.all.at(-1);
    if (!socket) throw new Error("no WebSocket was opened");
    return socket;
  }

  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  readonly sent: Json[] = [];

  constructor(readonly url: string) {
    FakeSocket.all.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = 3;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  say(message: Json): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  drop(): void {
    this.readyState = 3;
    this.onclose?.();
  }

  /** The latest request of a type; its reply has to repeat its id. */
  request(type: string): Json {
    const request = this.sent.filter((message) => message.type === type).at(-1);
    if (!request) throw new Error(`no ${type} was sent`);
    return request;
  }

  reply(type: string, message: Json): void {
    this.say({ ...message, re: this.request(type).id });
  }

  ok(type: string): void {
    this.reply(type, { type: "ok" });
  }
}

export class FakeTrack {
  static count = 0;
  readonly kind = "audio";
  contentHint = "";
  readonly id = `track-${FakeTrack.count++}`;
  enabled = true;

  constructor(readonly size: { width?: number; height?: number } = {}) {}

  getSettings() {
    return this.size;
  }
}

export function fakeTrack(size = {}): MediaStreamTrack {
  return new FakeTrack(size) as unknown as MediaStreamTrack;
}

class FakeChannel {
  readyState = "connecting";
  bufferedAmount = 0;
  onbufferedamountlow: (() => void) | null = null;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  readonly sent: unknown[] = [];

  constructor(readonly label: string) {}

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  open(): void {
    this.readyState = "open";
    this.onopen?.();
  }
}

export class FakePeer extends EventTarget {
  static all: FakePeer[] = [];
  static get last(): FakePeer {
    const peer = FakePeer.all.at(-1);
    if (!peer) throw new Error("no peer connection was made");
    return peer;
  }

  connectionState = "new";
  onconnectionstatechange: (() => void) | null = null;
  localDescription: { sdp: string } | null = null;
  restarts = 0;
  readonly channels: FakeChannel[] = [];
  readonly transceivers: {
    direction: string;
    mid: string | null;
    codecs: Json[];
    setCodecPreferences: (codecs: Json[]) => void;
    receiver: { track: FakeTrack; sources: Json[]; getContributingSources: () => Json[] };
    sender: { track: unknown; encodings: Json[]; replaceTrack: (track: unknown) => Promise<void> };
  }[] = [];

  constructor(private configuration: RTCConfiguration) {
    super();
    FakePeer.all.push(this);
  }

  getConfiguration(): RTCConfiguration {
    return this.configuration;
  }

  setConfiguration(configuration: RTCConfiguration): void {
    this.configuration = configuration;
  }

  addTransceiver(
    what: unknown,
    { direction, sendEncodings = [] }: { direction: string; sendEncodings?: Json[] },
  ) {
    const sender = {
      track: typeof what === "string" ? null : what,
      encodings: sendEncodings,
      getParameters: () => ({ encodings: sender.encodings }),
      setParameters: async ({ encodings }: { encodings: Json[] }) => {
        sender.encodings = encodings;
      },
      replaceTrack: async (track: unknown) => {
        sender.track = track;
      },
    };
    const receiver = {
      track: new FakeTrack(),
      sources: [] as Json[],
      getContributingSources: () => receiver.sources,
    };
    const transceiver = {
      direction,
      mid: null,
      codecs: [] as Json[],
      setCodecPreferences: (codecs: Json[]) => {
        transceiver.codecs = codecs;
      },
      receiver,
      sender,
    };
    this.transceivers.push(transceiver);
    return transceiver;
  }

  createDataChannel(label: string) {
    const channel = new FakeChannel(label);
    this.channels.push(channel);
    return channel;
  }

  async createOffer({ iceRestart }: { iceRestart: boolean }) {
    if (iceRestart) this.restarts++;
    return { type: "offer", sdp: `offer ${FakePeer.all.length} restart ${this.restarts}` };
  }

  async setLocalDescription(description: { sdp: string }) {
    this.localDescription = description;
    this.transceivers.forEach((transceiver, index) => {
      transceiver.mid = String(index);
    });
  }

  async setRemoteDescription() {}

  close(): void {
    this.connectionState = "closed";
  }

  become(state: string): void {
    this.connectionState = state;
    this.onconnectionstatechange?.();
    this.dispatchEvent(new Event("connectionstatechange"));
  }
}

/** Each test of the file has stand-ins of its own, a clock that it turns, and no chance. */
export function playWithFakes(): void {
  beforeEach(() => {
    vi.useFakeTimers();
    vi.spyOn(Math, "random").mockReturnValue(1);
    FakeSocket.all = [];
    FakePeer.all = [];
    vi.stubGlobal("WebSocket", FakeSocket);
    vi.stubGlobal("RTCPeerConnection", FakePeer);
  });

  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.restoreAllMocks();
  });
}

/** Lets every promise that can settle do so. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

export function wireParticipant(id: string, fields: Json = {}): Json {
  return {
    id,
    name: id.toUpperCase(),
    role: "speaker",
    transport: "webrtc",
    standing: "ordinary",
    muted: false,
    screen_muted: false,
    camera_muted: false,
    screen_video_muted: false,
    hand_raised: false,
    source: 1,
    screen_source: 2,
    camera_source: 3,
    screen_video_source: 4,
    tracks: [],
    ...fields,
  };
}

/** With everybody listed, unless `participant_count` says otherwise. */
export function welcome(fields: Json = {}): Json {
  const participants = (fields.participants as Json[]) ?? [wireParticipant("me"), wireParticipant("ann")];
  return {
    type: "joined",
    version: 1,
    session: { id: "s1", secret: "first", resume_ms: 30_000, idle_ms: 30_000 },
    room: { id: "hall", slots: 3, video_slots: 2 },
    participant: "me",
    participants,
    participant_count: participants.length,
    slots: [0, 1, 2].map((index) => ({ index, mid: null, participant: null })),
    screen: null,
    ...fields,
  };
}

export function answer(mids = ["1", "2", "3"]): Json {
  return { type: "answer", sdp: "v=0", slots: mids.map((mid, index) => ({ index, mid })), screen: "5" };
}
