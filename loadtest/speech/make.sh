#!/usr/bin/env bash
# Makes the speech of the load tester: for each voice NAME.opus, Ogg Opus in frames of 20 ms, and NAME.levels,
# the loudness of each frame in dBov below 0, one octet a frame (RFC 6464). Both are committed, so that every
# run on every machine sends the same octets; run this only to make them anew.
#
#   apt-get install espeak-ng opus-tools ffmpeg python3 && loadtest/speech/make.sh
#
# 22 kbit/s of speech and the 1.9 kbit/s of an Opus header that allows padding; with the stamp of the tester
# a payload is near the 80 octets of 32 kbit/s. VBR and no DTX, as browsers encode by default: silence is sent.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# voice NAME ESPEAK-VOICE PITCH WORDS-A-MINUTE TEXT
voice() {
    local name=$1
    espeak-ng -v "$2" -p "$3" -s "$4" -w "$work/speech.wav" "$5"
    # Conversational loudness, in a room that is not silent, and a second of the room alone at the end.
    ffmpeg -v error -y -i "$work/speech.wav" \
        -f lavfi -i 'anoisesrc=color=pink:amplitude=0.0012:sample_rate=48000:seed=1' -filter_complex \
        '[0]aresample=48000,loudnorm=I=-23:TP=-3,aresample=48000,apad=pad_dur=1[s];[s][1]amix=duration=first:normalize=0' \
        -ac 1 -ar 48000 -c:a pcm_s16le "$work/voice.wav"
    opusenc --quiet --speech --bitrate 22 --framesize 20 --serial 1 --discard-comments --padding 0 \
        "$work/voice.wav" "$name.opus"
    python3 - "$work/voice.wav" "$name.levels" <<'PYTHON'
import array, math, sys, wave

with wave.open(sys.argv[1]) as file:
    samples = array.array("h", file.readframes(file.getnframes()))
levels = bytearray()
for start in range(0, len(samples), 960):
    frame = samples[start : start + 960]
    power = sum(x * x for x in frame) / len(frame) / 32768**2
    levels.append(min(127, max(0, round(-10 * math.log10(power)))) if power else 127)
open(sys.argv[2], "wb").write(levels)
PYTHON
}

voice anna en-gb+f2 55 165 'Good morning, and thank you all for coming. Let me begin with where we are. The first part is done, and it works better than we had hoped. The second part needs two more weeks.'
voice ben en-us+m3 40 175 'I have a question about the second part. Who is going to look after it, once it is there? We had the same plan last year. It took us until the summer.'
voice clara en-gb-scotland+f4 60 160 'That is a fair point. This time there is somebody for it from the start. And there is less of it: we have left out everything that nobody asked for.'
voice david en-us+m7 35 185 'Could you go back one page, please? The numbers at the bottom are the ones I mean. If I read them right, half of the time goes into waiting.'
voice emma en-029+f3 65 170 'You read them right. It is waiting for the network, mostly. We can start earlier, and then nobody has to wait. I can show you after lunch.'
voice frank en-gb-x-rp+m1 45 155 'Then I have only one more thing. Please write down what we have said today, and send it around. I will not remember it tomorrow.'
