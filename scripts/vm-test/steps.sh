# Steps of scripts/vm-test.sh that are no tests of the lab's suite: sh steps.sh NAME
set -e

case $1 in
    # A delay on the wire between the nodes, seen by a ping between the pods.
    netem)
        tollgate lab up line
        tollgate lab exec line node-a -- tc qdisc add dev eth0 root netem delay 50ms
        tollgate lab exec line client -- ping -c 3 10.244.1.2 | tee /tmp/ping
        tollgate lab down line
        grep -E 'min/avg/max = [5-9][0-9]\.' /tmp/ping
        ;;
    # Each arm deployed, the MTU of its path found, its packets counted as evidence.
    campaign)
        tollgate run /vm/vm-wires.toml --rounds 1 --slice 300ms --warmup 100ms --out /tmp/campaign
        tollgate report /tmp/campaign --json >/tmp/report.json
        ! grep -E '"judgement": *"(contradicts|unknown)"' /tmp/report.json
        ;;
esac
