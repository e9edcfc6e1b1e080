#!/bin/sh
# Makes the clips that the load tester's cameras send: l.ivf, m.ivf and h.ivf, the same picture in three sizes.
#
# VP8 as browsers send it: 30 frames a second in three temporal layers (0, 2, 1, 2: RFC 7741), no keyframe but the first. What moves
# comes back to where it was after 24 frames, so a camera goes on from the last frame to the fifth: see src/clip.rs.
#
# Needs ffmpeg with libvpx. The bitrates are a little below those of the SDK (web-demo/sdk/src/encodings.ts).
set -eu
cd "$(dirname "$0")"

FRAMES=28

clip() { # name, width, height, kbit/s, of layer 0, of layers 0 and 1
    ffmpeg -loglevel error -y \
        -f lavfi -i "mandelbrot=size=1280x720:rate=30:start_scale=0.01:end_scale=0.01:start_x=-0.743:start_y=-0.131" \
        -f lavfi -i "testsrc2=size=400x400:rate=30" \
        -filter_complex "[0]trim=end_frame=1,loop=-1:1,setpts=N/30/TB[room];[1]trim=end_frame=1,loop=-1:1,setpts=N/30/TB[face];\
[room][face]overlay=x='440+70*sin(2*PI*n/24)':y='160+30*cos(2*PI*n/24)',noise=alls=4:allf=t:all_seed=7,scale=$2:$3,format=yuv420p" \
        -frames:v "$FRAMES" -c:v libvpx -deadline realtime -cpu-used 8 -threads 1 -lag-in-frames 0 -error-resilient default \
        -g 1000 -b:v "$4k" -maxrate "$4k" -minrate "$4k" -bufsize "$(($4 / 2))k" -undershoot-pct 100 -overshoot-pct 15 \
        -ts-parameters "ts_number_layers=3:ts_target_bitrate=$5,$6,$4:ts_rate_decimator=4,2,1:ts_periodicity=4:ts_layer_id=0,2,1,2:ts_layering_mode=3" \
        -fflags +bitexact -flags +bitexact -map_metadata -1 "$1.ivf"
}

clip l 320 180 140 56 84
clip m 640 360 460 184 276
clip h 1280 720 1050 420 630
