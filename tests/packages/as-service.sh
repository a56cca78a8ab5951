#!/usr/bin/env bash
# In a root with the package: starts the commands of the service's unit as its user with its defaults file, as systemd would,
# and Debian's HAProxy with the configuration in the package; the demo's requests, and SIGTERM. clean-room.sh runs it.
set -euo pipefail

documents=/usr/share/doc/modsecurity-spoa
unit=$(dpkg --listfiles modsecurity-spoa | grep '/systemd/system/modsecurity-spoa\.service$')

# commands NAME: those of the unit, without systemd's prefix for a failure that is ignored.
commands() { sed -n "s/^$1=[-@:+!]*//p" "$unit"; }

# as_service COMMAND-LINE: in the environment of the unit.
as_service() {
  local user environment words
  user=$(commands User)
  mapfile -t environment < <(commands Environment && grep -hv -e '^#' -e '^$' /etc/default/modsecurity-spoa)
  read -ra words <<<"$1"
  exec setpriv --reuid "$user" --regid "$user" --init-groups --no-new-privs -- \
    env -i PATH=/usr/sbin:/usr/bin "${environment[@]}" "${words[@]}"
}

while read -r command; do
  (as_service "$command")
done < <(commands ExecStartPre)
(as_service "$(commands ExecStart)") >/tmp/agent.log 2>&1 &
agent=$!
APP_SERVER=127.0.0.1:8081 HAPROXY_LOG=stdout haproxy -db -f "$documents/haproxy.cfg" -f /srv/demo-app.cfg \
  >/tmp/haproxy.log 2>&1 &
haproxy=$!

failed() {
  echo "$1" >&2
  tail -n 20 /tmp/agent.log /tmp/haproxy.log >&2
  exit 1
}
# HAProxy says 503 until its health check has found the agent.
answers() { [[ $(curl -q -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8080/) == 200 ]]; }
for ((i = 0; i < 600; i++)); do
  if modsecurity-spoa probe >/dev/null 2>&1 && answers; then break; fi
  kill -0 "$agent" "$haproxy" || failed "ended before it was ready"
  sleep 0.1
done
modsecurity-spoa probe || failed "not healthy"
[[ $(stat -c %U "/proc/$agent") == modsecurity-spoa ]] || failed "the agent is not the service's user"
/srv/demo-requests.sh http://127.0.0.1:8080 || failed "not every answer was as expected"
kill -TERM "$agent"
wait "$agent" || failed "the agent ended with status $?"
if modsecurity-spoa probe >/dev/null 2>&1; then failed "it answers after its end"; fi
