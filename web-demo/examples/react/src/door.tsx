// Who enters which room: a form comes in, the options of the SDK go out, with a token of the server's demo and a microphone.

import type { ConnectOptions } from "@tercet/sdk";
import { type SubmitEvent, useState } from "react";

export function Door({ enter }: { enter(options: ConnectOptions): void }) {
  const [trouble, setTrouble] = useState("");
  const submit = async (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    try {
      enter(await optionsOf(String(form.get("name")), String(form.get("room"))));
    } catch (error) {
      setTrouble(String(error));
    }
  };
  return (
    <form onSubmit={submit}>
      <h1>Tercet in React</h1>
      <label>
        Your name <input name="name" required maxLength={64} />
      </label>
      <label>
        Room <input name="room" required maxLength={128} defaultValue="react" />
      </label>
      <button type="submit">Join</button>
      <p role="alert">{trouble}</p>
    </form>
  );
}

async function optionsOf(name: string, room: string): Promise<ConnectOptions> {
  const response = await fetch("/v1/demo/token", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ name, room }),
  });
  const { token, message } = (await response.json()) as { token?: string; message?: string };
  if (!token) throw new Error(message ?? `the server answered ${response.status}`);
  const microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
  return { url: location.origin, token, audioTrack: microphone.getAudioTracks()[0], video: true };
}
