#!/bin/sh
# Reads the run so far as JSON on stdin; answers with a decision as JSON on stdout.
width=$(sed -n 's/.*"results":{[^}]*"count": *\([0-9][0-9]*\).*/\1/p')
echo "the hook makes work ${width:-1} tasks wide" >&2
printf '{"parallelism": {"work": %s}, "skip": ["extra"]}\n' "${width:-1}"
