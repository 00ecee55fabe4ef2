"""functions DIR PROGRAM: writes DIR/functions. list DIR: prints the linker script for what was hit."""
import collections, os, pickle, re, struct, subprocess, sys

RESIDENT = ["proxy", "node", "state-server", "master"]


def functions(dir, program):
    read = lambda *args: subprocess.run(["readelf", "-W", *args, program], capture_output=True, text=True, check=True).stdout
    text = next(line.replace("[ ", "[").split() for line in read("-S").splitlines() if " .text " in line)
    low, size = int(text[3], 16), int(text[5], 16)
    found = {}
    for row in map(str.split, read("-s").splitlines()):
        # Assembly of ring has data between its functions.
        if len(row) > 7 and row[3] == "FUNC" and low <= int(row[1], 16) < low + size and not row[7].startswith("ring_core"):
            found.setdefault(int(row[1], 16), (row[7], int(row[2], 0)))
    with open(f"{dir}/functions", "wb") as file:
        file.write(struct.pack(f"<{len(found)}Q", *sorted(found)))
    with open(f"{dir}/names", "wb") as file:
        pickle.dump([found[address] for address in sorted(found)], file)


def pattern(name):
    """What of a name stays from one build to the next."""
    name = re.sub(r"17h[0-9a-f]{16}E", "17h*E", name)
    name = re.sub(r"Cs[0-9A-Za-z]{6,13}_", "Cs*_", name)
    return re.sub(r"(\.llvm\.\d+|\.\d+)$", "", name)


def script(dir):
    with open(f"{dir}/names", "rb") as file:
        names = pickle.load(file)
    used = collections.defaultdict(int)
    for file in os.listdir(f"{dir}/hits"):
        role = file.rsplit(".", 1)[0]
        if role in RESIDENT:
            with open(f"{dir}/hits/{file}", "rb") as hits:
                for number, hit in enumerate(hits.read()):
                    used[number] |= bool(hit) << RESIDENT.index(role)
    all_of, mine = collections.Counter(), collections.defaultdict(list)
    for number, (name, size) in enumerate(names):
        all_of[pattern(name)] += size
        if used[number]:
            mine[pattern(name)].append((used[number], name, size))
    groups = collections.defaultdict(list)
    for what, hit in sorted(mine.items()):
        roles = 0
        for bits, _, _ in hit:
            roles |= bits
        size = sum(size for _, _, size in hit)
        open_name = what + "*" * what.startswith("_Z")
        # A pattern that takes much in that nobody runs comes after the names of this build: for the next one, whose names
        # are others.
        if all_of[what] <= max(2048, 3 * size):
            groups[-roles.bit_count(), roles].append(open_name)
        else:
            if all_of[what] <= 20 * size:
                groups[1, 0].append(open_name)
            for bits, name, _ in hit:
                groups[-bits.bit_count(), bits].append(re.sub(r"\.llvm\.\d+$", "*", name))
    print("/* What proxies, agents, state servers and masters run: what most of them run first, and what the same of them run")
    print("   together. Written by scripts/resident/run. */")
    print("SECTIONS {\n  .text.resident : {")
    for roles in sorted(groups):
        print("    *(\n" + "".join(f"      .text.{name}\n" for name in groups[roles]) + "    )")
    print("  }\n} INSERT BEFORE .text;")


if __name__ == "__main__":
    functions(*sys.argv[2:]) if sys.argv[1] == "functions" else script(*sys.argv[2:])
