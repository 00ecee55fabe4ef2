#!/bin/sh
# Reads the run so far as JSON on stdin; answers with new stages as JSON on stdout, written as in the job file.
kinds=$(sed -n 's/.*"results":{[^}]*"find":\[\([^]]*\)\].*/\1/p' | tr -d '"' | tr ',' ' ')
echo "the hook adds a stage for each of: $kinds" >&2
separator=""
needs=""
printf '{"add": {'
for kind in $kinds; do
  printf '%s\n  "read-%s": {"extends": "reader", "needs": ["find"], ' "$separator" "$kind"
  printf '"command": ["echo", "${params.greeting} from %s"]}' "$kind"
  needs="$needs${needs:+, }\"read-$kind\""
  separator=","
done
printf '%s\n  "all": {"needs": [%s, "count"], "command": ["echo", "all ${size(results.find)} are read"]}\n}}\n' "$separator" "$needs"
