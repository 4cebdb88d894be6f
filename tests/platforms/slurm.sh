#!/usr/bin/env bash
# Tests deploy/slurm with a real Slurm started here: one controller daemon and three nodes, which are this
# machine under three names. One campaign has two targets, one loses a node, one is canceled and resumed.
# Needs root.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/platforms/environment.sh
. tests/platforms/scripted.sh
needs_root
needs slurmctld slurmctld; needs slurmd slurmd; needs slurm-client sbatch; needs munge munged
pgrep -x slurmctld >/dev/null && skip "a slurmctld runs here already"

work=$(mktemp -d /var/tmp/fleetmark-slurm.XXXXXX)
host=$(hostname -s)
export SLURM_CONF=$work/slurm.conf
port=$(python3 -c 'import random; print(random.randrange(20000, 30000))')
mkdir -p "$work/ctl" "$work/bin" /run/munge
chown -R munge:munge /run/munge /var/lib/munge /var/log/munge /etc/munge
started_munge=
if ! munge -n >/dev/null 2>&1; then
    setpriv --reuid munge --regid munge --clear-groups /usr/sbin/munged --force
    started_munge=$(cat /run/munge/munged.pid)
fi
cat >"$SLURM_CONF" <<CONF
ClusterName=fleetmark
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
StateSaveLocation=$work/ctl
SlurmdSpoolDir=$work/d.%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
SchedulerParameters=bf_interval=1,sched_interval=1
KillWait=10
NodeName=n[1-3] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 3))] CPUs=2 RealMemory=2000 State=UNKNOWN
PartitionName=bench Nodes=n[1-3] Default=YES MaxTime=30:00 State=UP
CONF
clean() {
    scancel --user root >/dev/null 2>&1 || true
    for file in "$work"/slurmd.*.pid "$work"/slurmctld.pid; do [ ! -e "$file" ] || kill "$(cat "$file")" 2>/dev/null || true; done
    # No Slurm was running here before, so these belong to this script.
    for process in $(pgrep -x slurmstepd); do kill -9 "$process" 2>/dev/null || true; done
    [ -z "$started_munge" ] || kill "$started_munge" 2>/dev/null || true
    sleep 1
    rm -rf "$work"
}
trap clean EXIT
slurmctld
for node in n1 n2 n3; do slurmd -N $node; done
until_idle() {
    for _ in $(seq 300); do [ "$(sinfo -h -N -t idle | wc -l)" = 3 ] && return; sleep 0.2; done
    sinfo -N >&2; cat "$work"/*.log >&2; return 1
}
until_idle

export FLEETMARK_BIN=$programs
echo "$script" >"$work/script.json"
# begin NAME COMPONENT... -- TARGET...: submits a campaign.
begin() {
    name=$1 state=$work/$1
    shift
    local components=()
    while [ "$1" != -- ]; do components+=("$1"); shift; done
    shift
    # The words of the components are options.
    # shellcheck disable=SC2086,SC2068
    job=$(cd "$work" && FLEETMARK_STATE=$state sbatch --parsable --chdir "$work" --time 10 ${components[@]} \
        "$OLDPWD/deploy/slurm/fleetmark.sbatch" "$work/$name.toml" "$@" | cut -d';' -f1 | cut -d+ -f1)
}
state_of() { scontrol show job "$job" | grep -o -m1 'JobState=[A-Z_]*' | cut -d= -f2; }
# until_ended: waits for the end of the job.
until_ended() {
    for _ in $(seq 900); do case $(state_of) in PENDING | RUNNING | COMPLETING | CONFIGURING) sleep 0.2 ;; *) return ;; esac; done
    echo "$name doesn't end" >&2; tell; return 1
}
tell() { squeue >&2; scontrol show job "$job" >&2; cat "$work/fleetmark-$job.out" "$state"/*.log >&2; }
until_measuring() {
    for _ in $(seq 300); do grep -qs 'samples · ' "$state/controller.log" && return; sleep 0.2; done
    echo "$name doesn't begin" >&2; tell; return 1
}
ended_as() {
    until_ended
    [ "$(state_of)" = "$1" ] || { echo "$name: $(state_of), not $1" >&2; tell; exit 1; }
    [ -z "$(squeue -h)" ] || { echo "$name: something is left" >&2; squeue >&2; exit 1; }
    # All virtual nodes are on this machine.
    for _ in $(seq 50); do pgrep -f "$state/certs" >/dev/null || break; sleep 0.1; done
    ! pgrep -af "$state/certs" || { echo "$name: processes are left" >&2; exit 1; }
}

# set_down NODE: kills the node and all of its processes, and marks it as down in Slurm. Must run before the
# campaign ends.
set_down() {
    local environment process parent
    kill -9 "$(cat "$work/slurmd.$1.pid")"
    rm "$work/slurmd.$1.pid"
    for environment in $(grep -lzsx "SLURMD_NODENAME=$1" /proc/[0-9]*/environ); do
        grep -qzsx "FLEETMARK_STATE=$state" "$environment" || continue
        process=$(basename "$(dirname "$environment")")
        parent=$(awk '/^PPid/ {print $2}' "/proc/$process/status" 2>/dev/null) || continue
        if grep -qs slurmstepd "/proc/$parent/comm"; then kill -9 "$parent" 2>/dev/null || true; fi
        kill -9 "$process" 2>/dev/null || true
    done
    ! grep -q '^results' "$state/controller.log" || { echo "$name: it ended before the node was set down" >&2; tell; exit 1; }
    scontrol update nodename="$1" state=down reason=test
}
# A returning node may register before it is resumed.
set_up() { slurmd -N "$1"; scontrol update nodename="$1" state=resume 2>/dev/null || true; until_idle; }
# The last node of a job or component, once its allocation is known.
last_node() { squeue -h -j "$1" -o %N | xargs -n1 scontrol show hostnames | tail -1; }
was() { grep -q "$1" "$state/controller.log" || { echo "$name: not \"$1\"" >&2; tell; exit 1; }; }

scripted_matrix "$work/script.json" 60 gpu-nodes:1 cpu-nodes:1 >"$work/two-targets.toml"
begin two-targets -N1 -n1 : -N1 --exclusive : -N1 --exclusive -- gpu-nodes cpu-nodes
ended_as COMPLETED
echo "two targets on a heterogeneous allocation: $(python3 tests/platforms/whole.py "$state" "$state/results.json" --targets 2 --samples 480)"

# One component: the job stays on the remaining nodes, and the other agent takes over.
scripted_matrix "$work/script.json" 200 cpu-nodes:2 >"$work/node-down.toml"
begin node-down -N3 --exclusive -- cpu-nodes
until_measuring
down=$(last_node "$job")
set_down "$down"
ended_as COMPLETED
grep -q "Node failure on $down" "$work/fleetmark-$job.out" || { echo "$name: Slurm doesn't know" >&2; tell; exit 1; }
echo "node $down set down: $(python3 tests/platforms/whole.py "$state" "$state/results.json" --targets 1 --samples 800)"
set_up "$down"

# Several components: Slurm ends the job and, after two minutes, restarts it on available nodes. The job
# resumes its campaign.
if [ -z "${FLEETMARK_SHORT:-}" ]; then
    scripted_matrix "$work/script.json" 200 cpu-nodes:1 >"$work/requeued.toml"
    begin requeued -N1 -n1 : -N1 --exclusive -- cpu-nodes
    until_measuring
    down=$(last_node "$job+1")
    set_down "$down"
    for _ in $(seq 600); do grep -qs 'Restarts=1' <(scontrol show job "$job") && [ "$(state_of)" = RUNNING ] && break; sleep 0.2; done
    ended_as COMPLETED
    echo "node $down set down, requeued: $(python3 tests/platforms/whole.py "$state" "$state/results.json" --targets 1 --samples 800 --started 2 --joined 2)"
    set_up "$down"
else
    echo "skipped: restart of a job after a node failure, for which Slurm waits two minutes"
fi

scripted_matrix "$work/script.json" 200 cpu-nodes:1 >"$work/cancelled.toml"
begin cancelled -N1 -n1 : -N1 --exclusive -- cpu-nodes
until_measuring
scancel --signal=TERM --batch "$job"
ended_as FAILED
was 'it was stopped'
begin cancelled -N1 -n1 : -N1 --exclusive -- cpu-nodes
ended_as COMPLETED
echo "canceled and resumed: $(python3 tests/platforms/whole.py "$state" "$state/results.json" --targets 1 --samples 800 --started 2 --joined 2)"
