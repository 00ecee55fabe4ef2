# Recipes are shortcuts; each is a command that can be typed without `just`.

# what there is
default:
    @just --list

# the main job on this machine
demo:
    scripts/demo

# all that CI runs
test *ARGS:
    scripts/test {{ARGS}}

# a real YARN and HDFS on this machine: up, status, down
cluster *ARGS:
    scripts/cluster {{ARGS}}

# the cluster's tests on the other releases of Hadoop too
cluster-matrix:
    scripts/cluster matrix

# figures and their ratios to the limits
bench *ARGS:
    scripts/bench {{ARGS}}

# figures on a real YARN cluster, beside other clients of it
bench-yarn *ARGS:
    scripts/bench yarn {{ARGS}}

# a workload that asks four times what it uses, as it is and right-sized, on a real YARN cluster
bench-usage *ARGS:
    scripts/bench yarn usage --memory 4096 {{ARGS}}

# formats the code
fmt:
    cargo fmt --all

# lints of the whole workspace
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# writes the pages that are made from the code, and the golden files
update:
    UPDATE_GOLDEN=1 INSTA_UPDATE=always cargo test --workspace

# licences, duplicates and sources of the dependencies (needs cargo-deny)
deny:
    cargo deny --offline check bans licenses sources
