"""aiortc in a room: another WebRTC implementation, with payload type 96 for Opus, hears and is heard.

Two participants join, each with a sine tone of its own; each has to hear the other's tone and not its own. One of them speaks
AES-GCM, the other knows nothing but AES in counter mode with HMAC-SHA1.
Run by `./dev test` in a network namespace, since aiortc gathers no candidates on loopback:

    tests/in-namespace.sh VENV/bin/python tests/peers/aiortc_room.py SERVER_BINARY
"""

import asyncio
import fractions
import json
import math
import os
import re
import subprocess
import sys
import urllib.request

import av
import numpy
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.rtcdtlstransport import SRTP_AEAD_AES_256_GCM, SRTP_AES128_CM_SHA1_80
from websockets.asyncio.client import connect

SECRET = "a-secret-of-the-tests-that-is-long-enough"
RATE_HZ = 48_000
FRAME_SAMPLES = 960
LISTEN_S = 6


class Tone(MediaStreamTrack):
    """A sine tone in 20 ms frames."""

    kind = "audio"

    def __init__(self, tone_hz):
        super().__init__()
        self.tone_hz = tone_hz
        self.samples = 0
        self.start = None

    async def recv(self):
        loop = asyncio.get_running_loop()
        self.start = self.start or loop.time()
        await asyncio.sleep(max(0, self.start + self.samples / RATE_HZ - loop.time()))
        time = (numpy.arange(FRAME_SAMPLES) + self.samples) / RATE_HZ
        wave = (8000 * numpy.sin(2 * math.pi * self.tone_hz * time)).astype(numpy.int16)
        frame = av.AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, self.samples, fractions.Fraction(1, RATE_HZ)
        self.samples += FRAME_SAMPLES
        return frame


async def listen(track, tones_hz, energy):
    """Adds up, for each tone, how strong it is in what the track carries."""
    while True:
        frame = await track.recv()
        wave = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0].astype(float) / 32768
        time = numpy.arange(len(wave)) / frame.sample_rate
        for tone_hz in tones_hz:
            energy[tone_hz] += abs(numpy.mean(wave * numpy.exp(-2j * math.pi * tone_hz * time)))


async def participant(url, name, cipher, own_hz, tones_hz):
    """Joins, talks and listens; returns the energy heard for each tone."""
    body = json.dumps({"room": "aiortc", "name": name}).encode()
    request = urllib.request.Request(f"http://{url}/v1/demo/token", body, {"content-type": "application/json"})
    token = json.load(await asyncio.to_thread(urllib.request.urlopen, request))["token"]
    energy = dict.fromkeys(tones_hz, 0.0)
    listening = []
    async with connect(f"ws://{url}/v1/ws") as signalling:
        await signalling.send(json.dumps({"type": "join", "version": 1, "token": token}))
        joined = json.loads(await signalling.recv())
        assert joined["type"] == "joined", joined
        connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        connection.addTransceiver(Tone(own_hz), direction="sendonly")
        for _ in range(joined["room"]["slots"]):
            connection.addTransceiver("audio", direction="recvonly")
        for transceiver in connection.getTransceivers():
            # There is no public way to choose.
            transceiver.sender.transport._srtp_profiles = [cipher]
        connection.on("track", lambda track: listening.append(asyncio.ensure_future(listen(track, tones_hz, energy))))
        await connection.setLocalDescription(await connection.createOffer())
        await signalling.send(json.dumps({"type": "offer", "id": 1, "sdp": connection.localDescription.sdp}))
        while (message := json.loads(await signalling.recv()))["type"] not in ("answer", "error"):
            pass
        assert message["type"] == "answer", message
        numbers = re.findall(r"a=rtpmap:(\d+) opus", connection.localDescription.sdp)
        assert set(numbers) == {"96"}, f"aiortc numbers Opus {numbers}"
        await connection.setRemoteDescription(RTCSessionDescription(message["sdp"], "answer"))
        await asyncio.sleep(LISTEN_S)
        for task in listening:
            task.cancel()
        await connection.close()
    return energy


async def main(binary):
    command = [binary, "serve", "--http", "127.0.0.1:0", "--media-udp", "10.77.0.1:0", "--workers", "2", "--together-max", "0"]
    command += ["--secret", SECRET, "--demo", "--log", "warn"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TERCET_")}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        url = next(match[1] for line in server.stdout if (match := re.search(r"http://([^/]+)/", line)))
        low_hz, high_hz = 600, 1500
        heard = await asyncio.gather(
            participant(url, "low", SRTP_AEAD_AES_256_GCM, low_hz, [low_hz, high_hz]),
            participant(url, "high", SRTP_AES128_CM_SHA1_80, high_hz, [low_hz, high_hz]),
        )
    finally:
        server.kill()
        server.wait()
    print(f"heard by low: {heard[0]}, by high: {heard[1]}")
    for energy, own_hz, other_hz in ((heard[0], low_hz, high_hz), (heard[1], high_hz, low_hz)):
        assert energy[other_hz] > 5, f"{other_hz} Hz was not heard: {energy}"
        assert energy[own_hz] < energy[other_hz] / 100, f"somebody heard themselves: {energy}"
    print("1 passed, 0 failed")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
