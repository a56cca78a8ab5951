#!/usr/bin/env bash
# shellcheck disable=SC2317 # functions that only a trap calls
# Shows modsecurity-spoa at work: HAProxy on 127.0.0.1:8080, the agent behind it, and what they answer.
# Installs what is missing, and builds. Then stays, for requests of your own, until Ctrl-C.
#
#   demo.sh           exit status 0 when every answer was as expected, 1 when not
#   demo.sh --once    the same, but ends after showing
#   demo.sh --engine 2 [--once]
#                     with ModSecurity 2.9, which it gets and builds first, instead of libmodsecurity 3
#
# From the environment: DEMO_HTTP_PORT (8080), DEMO_AGENT_PORT (12345), DEMO_ADMIN_PORT (9273), HAPROXY (which haproxy to run).
set -euo pipefail

deploy=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
PATH=$PATH:$HOME/.cargo/bin:/usr/sbin:/sbin
http_port=${DEMO_HTTP_PORT:-8080} agent_port=${DEMO_AGENT_PORT:-12345} admin_port=${DEMO_ADMIN_PORT:-9273}
once=0 engine=3 agent='' haproxy='' dir='' shown=0 wrong=0

die() {
  printf 'demo: %s\n' "$@" >&2
  exit 1
}

usage() {
  sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
}

while (($#)); do
  case $1 in
    --once) once=1 ;;
    --engine)
      engine=${2-}
      [[ $engine == [23] ]] || die "--engine: '$engine' is neither 2 nor 3"
      shift
      ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
  shift
done

# ---- Our processes, and their end

# Asks a process of ours to end; ends it by force after 5 seconds.
stop() {
  local pid=$1 i
  kill -TERM "$pid" 2>/dev/null || return 0
  for ((i = 0; i < 50; i++)); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

cleanup() {
  trap - EXIT INT TERM HUP
  [[ -z $haproxy ]] || stop "$haproxy"
  [[ -z $agent ]] || stop "$agent"
  [[ -z $dir ]] || rm -rf "$dir"
}
trap cleanup EXIT
# Ctrl-C is the regular end, once everything has been shown.
interrupted() {
  echo
  if ((shown)); then exit "$wrong"; fi
  exit 130
}
trap interrupted INT
trap 'exit 143' TERM
trap 'exit 129' HUP

is_open() {
  (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# wait_for WHAT PID LOG COMMAND...: until the command succeeds. An error, with the log's end, when PID ends first, or
# after 20 seconds.
wait_for() {
  local what=$1 pid=$2 log=$3 i
  shift 3
  for ((i = 0; i < 200; i++)); do
    if "$@"; then return; fi
    if ! kill -0 "$pid" 2>/dev/null; then
      die "$what ended:" "$(tail -n 20 "$log")"
    fi
    sleep 0.1
  done
  die "$what: not ready after 20 seconds:" "$(tail -n 20 "$log")"
}

# ---- Install, build, start

"$deploy/install-packages.sh"
cd "$deploy/.."

for port in "DEMO_HTTP_PORT $http_port" "DEMO_AGENT_PORT $agent_port" "DEMO_ADMIN_PORT $admin_port"; do
  read -r name number <<<"$port"
  [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || die "$name=$number is not a port"
  if is_open "$number"; then
    die "127.0.0.1:$number is taken. Stop what listens there, or choose another port with $name=..."
  fi
done

echo "Building ..."
features=()
if ((engine == 2)); then
  MODSECURITY2=$("$deploy/modsecurity2.sh" "${MODSECURITY2:-target/modsecurity2}")
  export MODSECURITY2
  features=(--features engine2)
fi
cargo build --release --locked "${features[@]}"
target=$(cargo metadata --format-version 1 --no-deps --locked | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')

dir=$(mktemp -d "${TMPDIR:-/tmp}/modsecurity-spoa-demo.XXXXXX")
agent_log=$dir/agent.log haproxy_log=$dir/haproxy.log

# Only what is named here, whatever settings of the agent this shell has.
for name in $(compgen -e MODSECURITY_SPOA_ || true); do unset "$name"; done
"$target/release/modsecurity-spoa" --engine "$engine" --port "$agent_port" --workers auto \
  --admin "127.0.0.1:$admin_port" >"$agent_log" 2>&1 &
agent=$!
wait_for "the agent" "$agent" "$agent_log" is_open "$agent_port"

HTTP_BIND=127.0.0.1:$http_port MODSEC_AGENT=127.0.0.1:$agent_port APP_SERVER=unix@$dir/app.sock HAPROXY_LOG=stdout \
  HAPROXY_USER=$(id -un) HAPROXY_GROUP=$(id -gn) \
  "${HAPROXY:-haproxy}" -db -f "$deploy/haproxy.cfg" -f "$deploy/demo-app.cfg" >"$haproxy_log" 2>&1 &
haproxy=$!
site=http://127.0.0.1:$http_port

answers() {
  [[ $(curl -q --silent --noproxy '*' --max-time 10 --output /dev/null --write-out '%{http_code}' "$site/") == 200 ]]
}
wait_for HAProxy "$haproxy" "$haproxy_log" answers

# ---- Show

red='' bold='' plain=''
if [[ -t 1 ]]; then red=$'\e[31m' bold=$'\e[1m' plain=$'\e[0m'; fi

version=$("${HAPROXY:-haproxy}" -v | sed -n '1s/^HAProxy version \([^ ]*\).*/\1/p')
printf '\n%s\n%s\n' "$("$target/release/modsecurity-spoa" --version), HAProxy $version" "$site"
echo
"$deploy/demo-requests.sh" "$site" || wrong=1
shown=1

denied() { grep 'request denied' "$agent_log" | tail -n 1; }
# The agent logs from a thread of its own, so its line may come a moment after the answer.
for ((i = 0; i < 20; i++)); do
  if denied >/dev/null; then break; fi
  sleep 0.1
done
printf '\n%sThe agent'\''s log line for the last one denied%s\n%s\n\n' "$bold" "$plain" "$(denied || echo none)"

admin=http://127.0.0.1:$admin_port
printf '%sWhat it counts%s (%s/metrics; %s/ is a page)\n%s\n\n' "$bold" "$plain" "$admin" "$admin" \
  "$(curl -q --silent --noproxy '*' --max-time 10 "$admin/metrics" | grep '^modsecurity_spoa_requests_total.*[1-9]$' || true)"

if ((wrong)); then
  echo "${red}Not every answer was as expected.$plain The ends of the logs:" >&2
  tail -n 20 "$agent_log" "$haproxy_log" >&2
else
  echo "Every answer was as expected."
fi
if ((once)); then exit "$wrong"; fi

cat <<END

Still there, until Ctrl-C. Try, from another terminal:
  curl -i '$site/?name=alice'
  curl -i '$site/?id=1%27%20OR%20%271%27=%271'
The page of the agent: $admin/
The logs:
  tail -f $agent_log
  tail -f $haproxy_log
END
wait -n "$agent" "$haproxy" || true
for part in "$agent $agent_log the agent" "$haproxy $haproxy_log HAProxy"; do
  read -r pid log what <<<"$part"
  if ! kill -0 "$pid" 2>/dev/null; then printf 'demo: %s ended:\n%s\n' "$what" "$(tail -n 20 "$log")" >&2; fi
done
exit 1
