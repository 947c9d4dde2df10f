# What a user would take instead. A peer that cannot be had is left out, saying so.
#
# shellcheck shell=bash disable=SC2034,SC2154  # variables of and for the other files

all_peers=(boto3 javascript plpython pgsql_http)
declare -A peer_is_here=()

# Gets the peers, the newest that there are. As the caller, whose environment may say how registries are reached.
get_peers() {
	local peer
	for peer in "${all_peers[@]}"; do
		if "get_$peer" >"$work/log" 2>&1 </dev/null; then
			peer_is_here[$peer]=yes
		else
			say "$peer could not be had, and is left out: $(tail -n 1 "$work/log")"
		fi
	done
}

# Installs packages for a peer, where anything may be installed.
install_peer() {
	[ -z "$install" ] || install_packages "$@"
}

# Whether a program is a peer that is not here.
is_missing_peer() {
	[[ " ${all_peers[*]} " == *" $1 "* && -z ${peer_is_here[$1]:-} ]]
}

# PYTHON names a Python that has it; else it is installed into an environment that lasts as long as this.
get_boto3() {
	python=${PYTHON:-$work/venv/bin/python}
	[ -x "$python" ] || python3 -m venv "$work/venv"
	"$python" -c 'import boto3' || "$python" -m pip install -q --no-cache-dir --disable-pip-version-check boto3
}

boto3() {
	"${as_user[@]}" taskset -c 0 "$python" "$work/main/bench/peer.py" "$@"
}

get_javascript() {
	command -v npm || install_peer nodejs npm
	mkdir "$work/javascript"
	npm install --prefix "$work/javascript" --no-audit --no-fund @aws-sdk/client-athena @smithy/node-http-handler
	cp "$work/main/bench/peer.mjs" "$work/javascript"
	chmod -R go+rX "$work/javascript"
}

# It may use both cores: V8 compiles and collects in threads of its own.
javascript() {
	local mode=$1 url=$2 authorities=$3
	shift 3
	"${as_user[@]}" "NODE_EXTRA_CA_CERTS=$authorities" NODE_NO_WARNINGS=1 node "$work/javascript/peer.mjs" "$mode" "$url" "$@"
}

get_plpython() {
	[ -n "${peer_is_here[boto3]:-}" ] || {
		echo 'it takes boto3'
		return 1
	}
	install_peer "postgresql-plpython3-$(server_version)"
	as_superuser <<-SQL
		CREATE EXTENSION plpython3u;
		CREATE FUNCTION plpython_client(url text, authorities text, connections int) RETURNS void LANGUAGE plpython3u AS \$\$
		    if ('client', url) not in GD:
		        import sys
		        sys.path.insert(0, '$("$python" -c 'import boto3, os; print(os.path.dirname(os.path.dirname(boto3.__file__)))')')
		        import boto3, botocore.config
		        GD['client', url] = boto3.client(
		            'athena', endpoint_url=url, region_name='us-east-1', verify=authorities,
		            aws_access_key_id='AKIDEXAMPLE', aws_secret_access_key='wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY',
		            config=botocore.config.Config(max_pool_connections=connections))
		\$\$;
		CREATE FUNCTION plpython_call(url text, authorities text) RETURNS text LANGUAGE plpython3u AS \$\$
		    if ('client', url) not in GD:
		        plpy.execute(plpy.prepare('SELECT plpython_client(\$1, \$2, 1)', ['text', 'text']), [url, authorities])
		    answer = GD['client', url].get_calculation_execution(CalculationExecutionId='$calculation')
		    return answer['Status']['State']
		\$\$;
		CREATE FUNCTION plpython_batch(url text, authorities text, calls int, at_once int) RETURNS int LANGUAGE plpython3u AS \$\$
		    import concurrent.futures
		    if ('client', url) not in GD:
		        plpy.execute(plpy.prepare('SELECT plpython_client(\$1, \$2, \$3)', ['text', 'text', 'int']), [url, authorities, at_once])
		    def call(number):
		        return GD['client', url].get_calculation_execution(CalculationExecutionId='$calculation')
		    if 'pool' not in GD:
		        GD['pool'] = concurrent.futures.ThreadPoolExecutor(at_once)
		    return len(list(GD['pool'].map(call, range(calls))))
		\$\$;
	SQL
}

# https://github.com/pramsey/pgsql-http. It signs nothing: a signature that is the same each time stands for it. Debian does not
# have it; PostgreSQL's own packages (apt.postgresql.org) do, and one that was installed by hand will do.
get_pgsql_http() {
	local package
	package=postgresql-$(server_version)-http
	[ -z "$(apt-cache search --names-only "^$package\$")" ] || install_peer "$package"
	as_superuser <<-SQL
		CREATE EXTENSION http;
		CREATE FUNCTION pgsql_http_call(url text) RETURNS http_response LANGUAGE sql AS \$\$
		    SELECT http(('POST', url, ARRAY[
		        http_header('X-Amz-Target', 'AmazonAthena.GetCalculationExecution'),
		        http_header('X-Amz-Date', '20260101T000000Z'),
		        http_header('Authorization', 'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/athena/aws4_request, '
		            'SignedHeaders=host;x-amz-date, Signature=' || repeat('0', 64))],
		        'application/x-amz-json-1.1', '{"CalculationExecutionId":"$calculation"}')::http_request)
		\$\$;
	SQL
}
