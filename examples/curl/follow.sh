#!/bin/sh
# Follows the product aggregator's events over HTTP: prints each as one line of JSON, and goes on where it was.
#
# Usage: follow.sh URL PLACE [QUERY]
#   URL    of the catalog, such as http://127.0.0.1:8000
#   PLACE  the file that keeps the id of the last event that was printed; without it, it begins with what comes now
#   QUERY  such as 'type=offers.offers-updated.v1&product_id=…', or 'from=first' to begin with all that is kept
# TOKEN in the environment is an access token, where the catalog wants one. Ends by a signal, when nobody reads what it
# prints, and when it is refused for good.
#
# It prints first and notes after it, so what it printed last may come again after a crash: each event has an `id` in
# its JSON that does not change.
set -eu

no_use=2 # what trying again would not mend

if [ $# -lt 2 ]; then
    echo "usage: [TOKEN=...] $0 URL PLACE [QUERY], such as $0 http://127.0.0.1:8000 place from=first" >&2
    exit "$no_use"
fi

follow() {
    url="$1/api/v1/stream?${3:-}" place=$2
    set --
    [ -z "${TOKEN:-}" ] || set -- "$@" --header "Authorization: Bearer $TOKEN"
    [ ! -s "$place" ] || set -- "$@" --header "Last-Event-ID: $(cat "$place")"
    # Something comes every 15 seconds; where nothing does, the connection is dead.
    # The status comes last, in no line of its own: an empty line before it would complete an event that broke off.
    curl --silent --show-error --no-buffer --speed-limit 1 --speed-time 45 \
        --write-out 'status: %{http_code}\n' "$@" "$url" | tell "$place"
}

# Takes server-sent events apart: fields, a line each, and an empty line where an event is complete. What is none is a refusal, and shown.
tell() {
    id='' event='' data=''
    while IFS= read -r line; do
        case $line in
        'id: '*) id=${line#id: } ;;
        'event: '*) event=${line#event: } ;;
        'data: '*) data=${line#data: } ;;
        '')
            if [ "$event" = gap ]; then
                echo "some events were missed, as they are not kept any more: $data" >&2
            elif [ -n "$data" ]; then
                printf '%s\n' "$data" || return "$no_use"
            fi
            if [ -n "$id" ]; then
                # At once or not at all.
                { printf '%s' "$id" >"$1.new" && mv "$1.new" "$1"; } || return "$no_use"
            fi
            event='' data=''
            ;;
        'retry: '* | :*) ;;
        *'status: '[0-9][0-9][0-9])
            [ -z "${line%status: *}" ] || printf '%s\n' "${line%status: *}" >&2
            case ${line##*status: } in 400 | 401 | 403 | 404 | 422) return "$no_use" ;; esac
            ;;
        *) printf '%s\n' "$line" >&2 ;;
        esac
    done
}

while :; do
    ended=0
    follow "$@" || ended=$?
    # Above 128 it was a signal: SIGPIPE, as nobody reads any more.
    [ "$ended" -ne "$no_use" ] && [ "$ended" -le 128 ] || exit "$ended"
    echo 'the stream ended; again in 2 s' >&2
    sleep 2
done
