#!/bin/sh
# Installs PostgreSQL for the tests of several replicas where that needs no question, else says how.
set -eu

if command -v postgres >/dev/null || ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql >/dev/null
    exit 0
fi
echo "The tests of replicas need PostgreSQL, for example: sudo apt-get install postgresql" >&2
exit 1
