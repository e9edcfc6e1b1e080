// The room: who is seen, who is there, who speaks, and what one does oneself.

import type { ConnectOptions, Room } from "@tercet/sdk";
import {
  useParticipants,
  useRoom,
  useSound,
  useSpeakers,
  useVideoSlot,
  useVideoSlots,
} from "@tercet/sdk/react";
import { useEffect, useState } from "react";

export function Hall({ options, leave }: { options: ConnectOptions; leave(): void }) {
  const { room, status, error } = useRoom(options);
  const sound = useSound(room);
  useEffect(() => {
    if (status === "closed") stop(options.audioTrack);
  }, [status, options]);
  if (!room || status === "closed") {
    return (
      <main>
        <p role="status">{error?.message ?? status}</p>
        <button type="button" onClick={leave}>
          Back
        </button>
      </main>
    );
  }
  return (
    <main>
      <h1>{room.id}</h1>
      <p role="status">{status}</p>
      {sound.isBlocked && (
        <button type="button" onClick={sound.play}>
          Tap to hear
        </button>
      )}
      <Stage room={room} />
      <People room={room} />
      <Controls room={room} leave={leave} />
    </main>
  );
}

function Stage({ room }: { room: Room }) {
  const slots = useVideoSlots(room);
  return (
    <ul className="stage">
      {slots.map(({ index }) => (
        <Picture key={index} room={room} index={index} />
      ))}
    </ul>
  );
}

/** The element stays while nobody is in it: slots keep their tracks. */
function Picture({ room, index }: { room: Room; index: number }) {
  const { ref, participant, origin, isShown } = useVideoSlot(room, index);
  return (
    <li hidden={participant === null} data-shown={isShown}>
      <video ref={ref} muted />
      <span>{origin === "camera" ? participant?.name : `${participant?.name}’s screen`}</span>
    </li>
  );
}

function People({ room }: { room: Room }) {
  const people = useParticipants(room);
  const speaking = new Set(useSpeakers(room).map(({ participant }) => participant.id));
  return (
    <ul className="people">
      {people.map(({ id, name, muted, handRaised }) => (
        <li key={id} data-speaks={speaking.has(id)}>
          {name} {muted && "(muted)"} {handRaised && "✋"}
        </li>
      ))}
    </ul>
  );
}

function Controls({ room, leave }: { room: Room; leave(): void }) {
  const me = useParticipants(room).find(({ id }) => id === room.me.id);
  const [camera, setCamera] = useState<MediaStreamTrack | null>(null);
  const toggleCamera = async () => {
    const next = camera ? null : await openCamera();
    stop(camera);
    await room.setVideoTrack(next);
    await room.muteCamera(next === null);
    setCamera(next);
  };
  const goAway = () => {
    stop(camera);
    stop(room.audioTrack);
    leave();
  };
  return (
    <div className="controls">
      <button type="button" onClick={() => void room.mute(!me?.muted)}>
        {me?.muted ? "Unmute" : "Mute"}
      </button>
      <button type="button" onClick={() => void toggleCamera()}>
        {camera ? "Stop video" : "Start video"}
      </button>
      <button type="button" onClick={goAway}>
        Leave
      </button>
    </div>
  );
}

async function openCamera(): Promise<MediaStreamTrack | null> {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } });
  return stream.getVideoTracks()[0] ?? null;
}

function stop(track: MediaStreamTrack | null | undefined): void {
  track?.stop();
}
