# What scripts/demo and scripts/check share: packages, a working copy, a throw-away cluster, an emulator.
#
# A script sources this, calls `begin`, and from then on works in $work, a directory of its own that is removed
# with every process started here when the script ends, however it ends. The checkout is only read, nothing is
# installed into the server's directories, and no existing cluster is touched.
#
# root does only what takes root (apt-get). Everything else runs through "${as_user[@]}": as the calling user,
# or for root, whom PostgreSQL refuses, as postgres.
#
# The scripts run with set -e, and use the variables set here.
# shellcheck shell=bash disable=SC2034,SC2164

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
work=
as_user=()
emulator_pid=
emulator_url=

# Building and running the extension; VERSION is the server's. The rest is for the tests only.
packages=(gcc libc6-dev make libcurl4-openssl-dev libssl-dev libexpat1-dev zlib1g-dev libzstd-dev python3
	postgresql-VERSION postgresql-server-dev-VERSION)
test_packages=(clang libipc-run-perl perl procps openssl python3-venv ca-certificates
	locales-all pgbouncer postgresql-VERSION-cron)

# Says what is being done, on standard error like every remark that is not a result.
say() {
	printf '%s\n' "$*" >&2
}

# Ends the script with a reason.
fail() {
	say "$(basename "$0"): $*"
	exit 1
}

# Runs a command quietly; its output is shown when it fails, and then the script ends.
quietly() {
	"$@" >"$work/log" 2>&1 </dev/null || {
		cat "$work/log" >&2
		fail "failed: $*"
	}
}

# Makes $work and sees to it that nothing is left behind.
begin() {
	local user
	user=$(id -un)
	umask 022
	if [ "$user" = root ]; then
		# Programs of root's own, say a Python under /root, could not be run by postgres.
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
		TMPDIR=/tmp
	fi
	trap finish EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	work=$(mktemp -d "${TMPDIR:-/tmp}/athena_calc.XXXXXX")
	# The caller's directory may be closed to postgres.
	cd "$work"
}

# Stops what was started and removes $work. Runs once, at the end of the script.
finish() {
	trap '' HUP INT TERM
	stop_emulator
	stop_clusters
	stop_systems
	cd /
	[ -z "$work" ] || rm -rf "$work"
}

# Stops the systems of scripts/system that run, with all their processes and mounts.
stop_systems() {
	local file waiter pid
	for file in "$work"/systems/*.pid; do
		[ -f "$file" ] || continue
		read -r waiter pid <"$file"
		kill -KILL "$waiter" "$pid" 2>/dev/null || true
	done
	# The kernel ends the processes of a namespace behind its first one.
	[ ! -d "$work/systems" ] || sleep 1
}

#
# Packages
#

# The major version of the server to use: the newest installed one that has headers, the newest installed one,
# or the distribution's, which is known once the package lists are there.
server_version() {
	local version installed
	installed=$(compgen -G '/usr/lib/postgresql/*/bin/postgres' | cut -d / -f 5 | sort -rn || true)
	for version in $installed; do
		if [ -f "/usr/lib/postgresql/$version/lib/pgxs/src/makefiles/pgxs.mk" ]; then
			echo "$version"
			return
		fi
	done
	if [ -n "$installed" ]; then
		head -n 1 <<<"$installed"
	else
		apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' || true
	fi
}

# Which of these packages are not installed. The server's do not count where PG_CONFIG names another one.
missing_packages() {
	local package version
	version=$(server_version)
	for package in "$@"; do
		if [ -n "${PG_CONFIG:-}" ] && [[ $package == *VERSION* ]]; then
			continue
		fi
		package=${package//VERSION/$version}
		[ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
	done
}

# Runs apt-get as root, without questions, waiting for another apt-get to end.
apt_get() {
	local sudo=()
	[ "$(id -u)" -eq 0 ] || sudo=(sudo)
	"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
		apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@"
}

# Installs what is missing of these packages, and says so.
install_packages() {
	local missing
	command -v apt-get >/dev/null || fail "there is no apt-get here: install what is needed yourself, then use --no-install"
	missing=$(missing_packages "$@")
	[ -n "$missing" ] || return 0
	[ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null || fail "packages are missing: call this as root, or install sudo"
	say "Reading the package lists (apt-get update)."
	apt_get update >"$work/log" 2>&1 </dev/null || {
		cat "$work/log" >&2
		say "That failed; going on with the lists that are there."
	}
	# Only now is it known which server the distribution has.
	[ -n "${PG_CONFIG:-}$(server_version)" ] || fail "the package lists have no postgresql"
	missing=$(missing_packages "$@")
	say "Installing with apt-get, which may take some minutes: $(xargs <<<"$missing")"
	# shellcheck disable=SC2086  # a list of names
	quietly apt_get install --no-install-recommends --no-remove $missing
}

# Finds the server and the user who runs it. PG_CONFIG in the environment names another server than the packages'.
use_server() {
	local user group
	if [ -z "${PG_CONFIG:-}" ]; then
		PG_CONFIG=/usr/lib/postgresql/$(server_version)/bin/pg_config
		[ -x "$PG_CONFIG" ] || PG_CONFIG=pg_config
	fi
	[ -f "$("$PG_CONFIG" --pgxs)" ] || fail "there is no PostgreSQL with its headers here; PG_CONFIG names another one"
	bindir=$("$PG_CONFIG" --bindir)
	as_user=(env -i "HOME=$work" "PATH=$PATH" "TMPDIR=$work/tmp" "TERM=${TERM:-dumb}" LANG=C.UTF-8 "PG_CONFIG=$PG_CONFIG")
	if [ "$(id -u)" -eq 0 ]; then
		user=postgres
		id "$user" >/dev/null 2>&1 || user=nobody
		group=$(id -gn "$user")
		# setpriv becomes the command, so signals reach it; runuser would stand in between.
		as_user=(setpriv --reuid "$user" --regid "$group" --init-groups "${as_user[@]}")
		chown "$user:$group" "$work"
	fi
	"${as_user[@]}" mkdir "$work/tmp"
}

#
# The extension
#

# Copies the checkout's files, without what was built, to a directory.
copy_files() {
	tar -C "$root" -cf - --exclude ./.git --exclude '*.o' --exclude '*.bc' --exclude '*.so' \
		--exclude ./test/unit/build --exclude ./test/fuzz/build --exclude ./results --exclude ./tmp_check --exclude './regression.*' --exclude './athena_calc-*.zip' --exclude './athena_calc-*.tar.gz' --exclude __pycache__ . | tar -C "$1" -xf -
}

# Copies the checkout to $work/main, for the server's user.
copy_checkout() {
	mkdir "$work/main"
	copy_files "$work/main"
	# The checkout may be read-only.
	chmod -R u+rwX,go+rX "$work/main"
	[ "$(id -u)" -ne 0 ] || chown -R --reference "$work" "$work/main"
}

# Runs make in the copy, with its arguments.
make_extension() {
	"${as_user[@]}" make --no-print-directory -C "$work/main" "PG_CONFIG=$PG_CONFIG" "$@"
}

# What make is told beside, when it builds the extension. Bitcode takes as long as all else, and servers look for it in their own
# directories only, where nothing is put from here.
build_arguments=(with_llvm=no)

# Builds the extension and installs it under $work/install, where servers then look for it.
build_extension() {
	local staging=$work/install
	quietly make_extension -j "$(nproc)" "${build_arguments[@]}"
	quietly make_extension install "DESTDIR=$staging" "${build_arguments[@]}"
	use_extension "$staging" ||
		quietly make_extension install "${build_arguments[@]}" # a server of somebody's own build: there is but its own directory
}

# Has $work/extension.conf tell a server to look under a directory, before it looks into its own directories, where another
# build may be. Fails where a server cannot be told.
use_extension() {
	local staging=$1
	: >"$work/extension.conf"
	[ -d "$work/probe" ] || "${as_user[@]}" mkdir "$work/probe"
	if server_knows extension_destdir; then # Debian's own, before 18
		echo "extension_destdir = '$staging'" >"$work/extension.conf"
	elif server_knows extension_control_path; then # 18 and later
		echo "extension_control_path = '$staging$("$PG_CONFIG" --sharedir):\$system'" >"$work/extension.conf"
	else
		return 1
	fi
	echo "dynamic_library_path = '$staging$("$PG_CONFIG" --pkglibdir):\$libdir'" >>"$work/extension.conf"
}

# Whether the server has a setting of this name.
server_knows() {
	"${as_user[@]}" "$bindir/postgres" -C "$1" -D "$work/probe" --config-file="$work/extension.conf" >/dev/null 2>&1
}

#
# A throw-away cluster
#

# Starts a cluster in $work, with the settings that standard input holds and a socket in $work as its only door.
start_cluster() {
	quietly "${as_user[@]}" "$bindir/initdb" -D "$work/data" -U postgres -A trust -E UTF8 --locale C.UTF-8 --no-sync
	{
		cat "$work/extension.conf"
		echo "shared_preload_libraries = 'athena_calc'"
		echo "listen_addresses = ''"
		echo "unix_socket_directories = '$work'"
		echo "unix_socket_permissions = 0700"
		echo "fsync = off"
		cat
	} | "${as_user[@]}" tee -a "$work/data/postgresql.conf" >/dev/null
	"${as_user[@]}" "$bindir/pg_ctl" -D "$work/data" -l "$work/server.log" -w start >/dev/null 2>&1 </dev/null || {
		cat "$work/server.log" >&2
		fail "the server did not start"
	}
	as_client=("${as_user[@]}" "PGHOST=$work" PGPORT=5432 PGUSER=postgres)
}

# Stops every cluster in $work that runs, one that a killed test has left included. The numbers of other systems' processes are not
# this system's.
stop_clusters() {
	local pid_file
	find "$work" -path "$work/systems" -prune -o -name postmaster.pid -print 2>/dev/null | while read -r pid_file; do
		"${as_user[@]}" "$bindir/pg_ctl" -D "$(dirname "$pid_file")" -m immediate stop >/dev/null 2>&1 </dev/null || true
	done
}

#
# The local Athena
#

# Starts the emulator on a free port; $emulator_url is where it is.
start_emulator() {
	local log=$work/emulator.log
	: >"$log"
	# In a session of its own, so that Ctrl-C in a psql prompt does not reach it.
	"${as_user[@]}" "PYTHONPATH=$work/main" setsid python3 -m emulator --port 0 "$@" >"$log" 2>&1 </dev/null &
	emulator_pid=$!
	while ! emulator_url=$(sed -n 's/^listening on //p' "$log") || [ -z "$emulator_url" ]; do
		kill -0 "$emulator_pid" 2>/dev/null || {
			cat "$log" >&2
			fail "the emulator did not start"
		}
		sleep 0.05
	done
}

# Stops the emulator, if it runs, and with it the sessions' processes.
stop_emulator() {
	[ -n "$emulator_pid" ] || return 0
	kill "$emulator_pid" 2>/dev/null || true
	wait "$emulator_pid" 2>/dev/null || true
	emulator_pid=
}
