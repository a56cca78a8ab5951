#!/usr/bin/env bash
# Sends a site behind the agent three clean requests and nine attacks, and prints what each was answered. Exit status 0 when
# every answer was as expected, 1 when not. demo.sh and the tests of the packages run it.
#
#   demo-requests.sh http://127.0.0.1:8080
set -euo pipefail

site=${1:?the address of the site} wrong=0
red='' green='' bold='' plain=''
if [[ -t 1 ]]; then red=$'\e[31m' green=$'\e[32m' bold=$'\e[1m' plain=$'\e[0m'; fi

# show WHAT EXPECTED-STATUS CURL-ARGUMENTS...: sends one request and prints its line of the table; 000 is no answer.
show() {
  local what=$1 expected=$2 status verdict
  shift 2
  status=$(curl -q --silent --show-error --noproxy '*' --max-time 10 --output /dev/null --write-out '%{http_code}' "$@" || true)
  if [[ $status == "$expected" ]]; then
    verdict=${green}ok$plain
  else
    verdict="${red}WRONG, expected $expected$plain"
    wrong=1
  fi
  printf '%-66s %s  %s\n' "$what" "$status" "$verdict"
}

printf '%s%-66s %s%s\n' "$bold" Request Status "$plain"
show 'clean: GET /?name=alice' 200 "$site/?name=alice"
show 'clean: POST a form, comment=Hello there' 200 "$site/" --data-urlencode 'comment=Hello there'
show 'clean: POST JSON, {"name": "alice"}' 200 "$site/" --json '{"name": "alice"}'
show "SQL injection in the query: ?id=1' OR '1'='1" 403 -G "$site/" --data-urlencode "id=1' OR '1'='1"
show "the same over HTTP/2" 403 --http2-prior-knowledge -G "$site/" --data-urlencode "id=1' OR '1'='1"
show 'SQL injection in JSON: {"name": "x'\'' UNION SELECT ..."}' 403 "$site/" \
  --json '{"user": {"name": "x'\'' UNION SELECT login, password FROM users -- "}}'
show 'the same with 20 KB of blanks behind it, which HAProxy cuts' 403 "$site/" \
  --json '{"user": {"name": "x'\'' UNION SELECT login, password FROM users -- "}}'"$(printf '%20000s' '')"
show 'JSON that no parser of the engine reads: /**/{"a": "<script>..."}' 400 "$site/" \
  --json '/**/{"a": "<script>alert(1)</script>"}'
show 'cross-site scripting in a form: comment=<script>...' 403 "$site/" \
  --data-urlencode 'comment=<script>alert(document.cookie)</script>'
show 'path traversal: GET /download/../../../../etc/passwd' 403 --path-as-is "$site/download/../../../../etc/passwd"
show 'Shellshock in a header: User-Agent: () { :; }; /bin/cat ...' 403 "$site/" \
  --user-agent '() { :; }; /bin/cat /etc/passwd'
show 'command injection in a form: host=127.0.0.1; cat /etc/passwd' 403 "$site/" \
  --data-urlencode 'host=127.0.0.1; cat /etc/passwd'
exit "$wrong"
