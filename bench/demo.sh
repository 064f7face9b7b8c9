#!/usr/bin/env bash
# Measures what the README says of the binary and the demo: size, time of `version`, time and resident memory of the research itself.
set -euo pipefail
cd "$(dirname "$0")/.."
make -s build
docs="$(go env GOROOT)/doc"
data="$(mktemp -d)"
trap 'rm -rf "$data"' EXIT
echo "binary_mb $(($(stat -c %s bin/decouple 2>/dev/null || stat -f %z bin/decouple) / 1000000))"
now() { date +%s%N; }
for what in version first second third; do
	start="$(now)"
	if [ "$what" = version ]; then
		bin/decouple version >/dev/null
	else
		bin/decouple research "How does a Go program make a write in one goroutine visible to another?" \
			--docs "$docs" --model builtin --data "$data" >/dev/null 2>&1 &
		pid=$!
		while kill -0 "$pid" 2>/dev/null; do
			peak="$(awk '/VmHWM/ {print $2}' "/proc/$pid/status" 2>/dev/null || true)"
			[ -n "$peak" ] && rss="$peak"
		done
		wait "$pid"
	fi
	end="$(now)"
	echo "${what}_ms $(((end - start) / 1000000))"
done
echo "demo_peak_rss_mb $((${rss:-0} / 1024))"
