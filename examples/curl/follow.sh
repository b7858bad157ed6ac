#!/bin/sh
# Follows the product aggregator's events over HTTP: prints each as one line of JSON, and goes on where it was.
#
# Usage: follow.sh URL PLACE [QUERY]
#   URL    of the catalog, such as http://127.0.0.1:8000
#   PLACE  the file that keeps the id of the last event that was printed; without it, it begins with what comes now
#   QUERY  such as 'type=offers.offers-updated.v1&product_id=…', or 'from=first' to begin with all that is kept
# TOKEN in the environment is an access token, where the catalog wants one. Ends by a signal only.
#
# It prints first and notes after it, so what it printed last may come again after a crash: each event has an `id` in
# its JSON that does not change.
set -eu

follow() {
    url="$1/api/v1/stream?${3:-}" place=$2
    set --
    [ -z "${TOKEN:-}" ] || set -- "$@" --header "Authorization: Bearer $TOKEN"
    [ ! -s "$place" ] || set -- "$@" --header "Last-Event-ID: $(cat "$place")"
    # Something comes every 15 seconds; where nothing does, the connection is dead.
    curl --silent --show-error --fail --no-buffer --speed-limit 1 --speed-time 45 "$@" "$url" | tell "$place"
}

# Takes server-sent events apart: fields, a line each, and an empty line where an event is complete.
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
                printf '%s\n' "$data"
            fi
            if [ -n "$id" ]; then
                # At once or not at all.
                printf '%s' "$id" >"$1.new" && mv "$1.new" "$1"
            fi
            event='' data=''
            ;;
        esac
    done
}

while :; do
    follow "$@" || :
    echo 'the stream ended; again in 2 s' >&2
    sleep 2
done
