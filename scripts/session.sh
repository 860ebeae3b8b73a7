# Source this to call the local cloud from a shell as a browser and our own pages would:
#   source scripts/session.sh
#   sign_in ada 'Ada-likes-2-dance!'
#   call PUT /enrollments/course/first-steps
ROLLCALL_API=${ROLLCALL_API:-http://localhost:9000}
ROLLCALL_COOKIES=$(mktemp)

# sign_in NAME PASSWORD: through the identity provider's form.
sign_in() {
    : >"$ROLLCALL_COOKIES"
    local form
    form=$(_redirect "$(_redirect "$ROLLCALL_API/auth/login")")
    _redirect "$(_redirect --data-urlencode "username=$1" --data-urlencode "password=$2" "$form")" >/dev/null
    ROLLCALL_CSRF=$(call GET /auth/csrf | sed -n 's/.*"token":"\([^"]*\)".*/\1/p')
    [ -n "$ROLLCALL_CSRF" ] || { echo "signing in as $1 did not work" >&2 && return 1; }
}

# call METHOD PATH [JSON]: with the session's cookie, our origin and the CSRF token.
call() {
    curl --silent --cookie "$ROLLCALL_COOKIES" --request "$1" --header "origin: $ROLLCALL_API" \
        --header "x-csrf-token: ${ROLLCALL_CSRF:-}" \
        ${3:+--header "content-type: application/json" --data "$3"} "$ROLLCALL_API$2"
    echo
}

# Where a request is sent on to; keeps the cookies.
_redirect() {
    curl --silent --output /dev/null --write-out '%{redirect_url}' \
        --cookie "$ROLLCALL_COOKIES" --cookie-jar "$ROLLCALL_COOKIES" "$@"
}
