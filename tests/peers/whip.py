"""WHIP and WHEP with clients that others wrote: aiortc and FFmpeg publish a tone each, aiortc plays them, in three slots or mixed.

aiortc is a full ICE agent, and sends audio levels; FFmpeg answers no checks, and sends none. A player of the room has to hear
both tones, a player of one participant that one's only, before and after a restart of ICE in the middle.
Run by `./dev test` in a network namespace, since aiortc gathers no candidates on loopback:

    tests/in-namespace.sh VENV/bin/python tests/peers/whip.py SERVER_BINARY
"""

import asyncio
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

import imageio_ffmpeg
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc_room import SECRET, Tone, listen

ROOM = "studio"
AIORTC_HZ, FFMPEG_HZ = 600, 1500
TONES_HZ = [AIORTC_HZ, FFMPEG_HZ]
LISTEN_S = 4
# Longer than ICE-lite remembers somebody who sends no checks, and than a session outlives its media.
ENDURE_S = 24
# An encoder that says nothing for 15 s is gone.
GONE_S = 20


class Node:
    """A server, and requests to it."""

    def __init__(self, binary):
        self.binary = binary
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("TERCET_")}
        self.environment["TERCET_SECRET"] = SECRET
        command = [binary, "serve", "--http", "10.77.0.1:0", "--media-udp", "10.77.0.1:0", "--workers", "2", "--together-max", "0"]
        command += ["--sip", "off", "--log", os.environ.get("LOG", "warn")]
        self.config = tempfile.NamedTemporaryFile("w", suffix=".toml")
        self.config.write("session.resume_ms = 5000\n")
        self.config.flush()
        command += ["--config", self.config.name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=self.environment)
        self.url = next("http://" + match[1] for line in self.process.stdout if (match := re.search(r"http://([^/]+)/", line)))

    def token(self, identity, role="speaker"):
        command = [self.binary, "token", "--room", ROOM, "--identity", identity, "--role", role]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout.strip()

    def request_blocking(self, method, path, token, body=None, headers=None):
        request = urllib.request.Request(self.url + path, body and body.encode(), method=method)
        request.add_header("authorization", f"Bearer {token}")
        for name, value in (headers or {}).items():
            request.add_header(name, value)
        try:
            with urllib.request.urlopen(request) as response:
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    async def request(self, *arguments):
        return await asyncio.to_thread(self.request_blocking, *arguments)


class Session:
    """A WHIP or WHEP session of aiortc's."""

    def __init__(self, node, path, token):
        self.node, self.path, self.token = node, path, token
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))

    async def begin(self):
        await self.connection.setLocalDescription(await self.connection.createOffer())
        sdp = self.connection.localDescription.sdp
        headers = {"content-type": "application/sdp"}
        status, headers, answer = await self.node.request("POST", self.path, self.token, sdp, headers)
        assert status == 201, f"{self.path}: {status} {answer}"
        self.url, self.etag = headers["location"], headers["etag"]
        await self.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))

    async def end(self):
        status, _, body = await self.node.request("DELETE", self.url, self.token)
        assert status == 200, f"{status} {body}"
        status, _, _ = await self.node.request("DELETE", self.url, self.token)
        assert status == 404, status
        await self.connection.close()


async def publish(node, identity, tone_hz):
    session = Session(node, f"/whip/{ROOM}", node.token(identity))
    session.connection.addTransceiver(Tone(tone_hz), direction="sendrecv")
    await session.begin()
    return session


async def hear(node, query="", lines=3):
    """What a player hears in a few seconds: how much of each tone."""
    session = Session(node, f"/whep/{ROOM}{query}", node.token("player", "listener"))
    energy, listening = dict.fromkeys(TONES_HZ, 0.0), []
    for _ in range(lines):
        session.connection.addTransceiver("audio", direction="recvonly")
    on_track = lambda track: listening.append(asyncio.ensure_future(listen(track, TONES_HZ, energy)))
    session.connection.on("track", on_track)
    await session.begin()
    await asyncio.sleep(LISTEN_S)
    for task in listening:
        task.cancel()
    await session.end()
    print(f"player{query}, {lines} lines: {energy}", flush=True)
    return energy


def assert_heard(energy, heard_hz):
    for tone_hz, strength in energy.items():
        is_heard = strength > 5
        assert is_heard == (tone_hz in heard_hz), f"{heard_hz} were to be heard: {energy}"


async def main(binary):
    node = Node(binary)
    encoder = None
    try:
        publisher = await publish(node, "aiortc", AIORTC_HZ)
        await asyncio.sleep(2)
        assert_heard(await hear(node), [AIORTC_HZ])

        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-loglevel", os.environ.get("FFMPEG_LOG", "warning"), "-re", "-f", "lavfi"]
        command += ["-i", f"sine=frequency={FFMPEG_HZ}:sample_rate=48000", "-ac", "2", "-c:a", "libopus", "-b:a", "64k"]
        command += ["-f", "whip", "-authorization", node.token("ffmpeg"), f"{node.url}/whip/{ROOM}"]
        encoder, began = subprocess.Popen(command, stdin=subprocess.DEVNULL), time.monotonic()
        await asyncio.sleep(4)
        assert_heard(await hear(node), TONES_HZ)
        # One m-line carries all that is heard.
        mixed = await asyncio.gather(hear(node, "", 1), hear(node, "", 1))
        for energy in mixed:
            assert_heard(energy, TONES_HZ)
        assert_heard(await hear(node, "?participant=ffmpeg", 1), [FFMPEG_HZ])
        assert_heard(await hear(node, "?participant=aiortc", 1), [AIORTC_HZ])

        await asyncio.sleep(max(0, began + ENDURE_S - time.monotonic()))
        assert encoder.poll() is None, "FFmpeg ended"
        assert_heard(await hear(node, "?participant=ffmpeg"), [FFMPEG_HZ])

        # It checks nothing by now, so that it is gone is known by its silence alone.
        encoder.kill()
        encoder.wait()
        killed = time.monotonic()
        offer = publisher.connection.localDescription.sdp.replace("sendrecv", "recvonly")
        while True:
            late, token = f"/whep/{ROOM}?participant=ffmpeg", node.token("late", "listener")
            status, headers, _ = await node.request("POST", late, token, offer, {"content-type": "application/sdp"})
            if status == 409:
                break
            assert status == 201 and time.monotonic() < killed + GONE_S, f"{status} {time.monotonic() - killed} s after"
            await node.request("DELETE", headers["location"], token)
            await asyncio.sleep(1)
        assert headers["retry-after"] == "5"
        await publisher.end()
    finally:
        if encoder:
            encoder.kill()
            encoder.wait()
        node.process.kill()
        node.process.wait()
    print("1 passed, 0 failed")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
