# The other side of every call: nginx with canned answers, on the second core.
#
# Athena at once, after 25 ms, and with HTTP/2; S3 at once and after 25 ms. All with TLS and one certificate, all as
# fast as nginx is: nothing is looked up, computed or checked.
#
# shellcheck shell=bash disable=SC2034,SC2154  # variables of and for the other files

delay_ms=25
endpoint=
endpoint_started=

# Where they listen, and what they are verified against: the one CA alone, and beside the system's.
athena_url=
slow_athena_url=
http2_athena_url=
s3_url=
slow_s3_url=
one_ca=
system_file=
system_directory=

# A calculation that has ended, as Athena tells of it.
calculation_answer() {
	local at=s3://example-bucket/spark/5f8d2a6c-1111-4222-8333-444455556666/7e6f5d4c-aaaa-4bbb-8ccc-ddddeeeeffff
	printf '{"CalculationExecutionId":"7e6f5d4c-aaaa-4bbb-8ccc-ddddeeeeffff","SessionId":"5f8d2a6c-1111-4222-8333-444455556666",'
	printf '"Description":"totals of the orders of a day","WorkingDirectory":"%s",' "$at"
	printf '"Status":{"SubmissionDateTime":1.700000000123E9,"CompletionDateTime":1.700000042456E9,"State":"COMPLETED"},'
	printf '"Statistics":{"DpuExecutionInMillis":123456,"Progress":"100%%"},'
	printf '"Result":{"StdOutS3Uri":"%s/stdout","StdErrorS3Uri":"%s/stderr","ResultS3Uri":"%s/result",' "$at" "$at" "$at"
	printf '"ResultType":"application/vnd.aws.athena.v1+json"}}'
}

# Writes the certificate, and what it is verified against: a system has many authorities, as a file and as a directory.
make_authorities() {
	one_ca=$endpoint/ca.pem
	system_file=$endpoint/system.pem
	system_directory=$endpoint/system
	quietly "${as_user[@]}" openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-addext subjectAltName=IP:127.0.0.1 -keyout "$endpoint/key.pem" -out "$one_ca"
	cat /etc/ssl/certs/ca-certificates.crt "$one_ca" | "${as_user[@]}" tee "$system_file" >/dev/null
	"${as_user[@]}" mkdir "$system_directory"
	"${as_user[@]}" find /etc/ssl/certs -name '*.pem' -exec ln -s -t "$system_directory" {} +
	"${as_user[@]}" ln -s "$one_ca" "$system_directory"
	quietly "${as_user[@]}" openssl rehash "$system_directory"
}

# What of S3 the copies ask for. Parts are read to their end before they are answered, as S3 does.
s3_locations() {
	cat <<-END
		location /file/ { internal; alias $endpoint/s3/; add_header x-amz-checksum-crc32 \$checksum; }
		location /list/ { internal; default_type application/xml; root $endpoint; try_files /list.xml =404; }
		location /create/ {
			internal;
			return 200 '<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>key</Key><UploadId>upload</UploadId></InitiateMultipartUploadResult>';
		}
		location /put/ { internal; echo_read_request_body; echo_exec /stored; }
		location = /stored { internal; add_header ETag '"0123456789abcdef0123456789abcdef"'; return 200; }
		location /complete/ {
			internal;
			return 200 '<CompleteMultipartUploadResult><Key>key</Key><ETag>"0123456789abcdef0123456789abcdef-1"</ETag></CompleteMultipartUploadResult>';
		}
		location /delete/ { internal; return 204; }
	END
}

# The configuration; arguments are the ports.
endpoint_configuration() {
	local seconds
	seconds=$(awk "BEGIN { print $delay_ms / 1000 }")
	cat <<-END
		load_module $(find -L /usr/lib/nginx/modules /usr/share/nginx/modules -name ngx_http_echo_module.so -print -quit 2>/dev/null);
		worker_processes 1;
		worker_cpu_affinity 10;
		pid $endpoint/pid;
		error_log $endpoint/error.log;
		events { worker_connections 4096; }
		http {
			access_log off;
			client_body_temp_path $endpoint/body;
			proxy_temp_path $endpoint/proxy;
			fastcgi_temp_path $endpoint/fastcgi;
			uwsgi_temp_path $endpoint/uwsgi;
			scgi_temp_path $endpoint/scgi;
			client_max_body_size 0;
			client_body_buffer_size 64m;
			keepalive_requests 1000000000;
			keepalive_timeout 1h;
			ssl_certificate $one_ca;
			ssl_certificate_key $endpoint/key.pem;
			map "\$request_method \$args" \$s3_action {
				default file;
				"~^GET list-type=2" list;
				"~^PUT " put;
				"~^POST uploads" create;
				"~^POST " complete;
				"~^DELETE " delete;
			}
			map \$uri \$checksum { include $endpoint/checksums*; }
			default_type application/x-amz-json-1.1;
			add_header x-amzn-RequestId 0a1b2c3d-0000-4000-8000-000000000000;
			server {
				listen 127.0.0.1:$1 ssl;
				location / { return 200 '$(calculation_answer)'; }
			}
			server {
				listen 127.0.0.1:$2 ssl;
				location / { echo_sleep $seconds; echo_exec @answer; }
				location @answer { return 200 '$(calculation_answer)'; }
			}
			server {
				listen 127.0.0.1:$3 ssl http2;
				location / { return 200 '$(calculation_answer)'; }
			}
			server {
				listen 127.0.0.1:$4 ssl;
				location / { rewrite ^ /\$s3_action\$uri last; }
				$(s3_locations)
			}
			server {
				listen 127.0.0.1:$5 ssl;
				location / { echo_sleep $seconds; echo_exec /\$s3_action\$uri; }
				$(s3_locations)
			}
		}
	END
}

start_endpoint() {
	local ports
	endpoint=$work/endpoint
	"${as_user[@]}" mkdir -p "$endpoint/s3/bucket"
	make_authorities
	# All bound at once, so that they differ.
	read -ra ports < <("${as_user[@]}" python3 -c 'import socket
sockets = [socket.socket() for i in range(5)]
for s in sockets: s.bind(("127.0.0.1", 0))
print(*(s.getsockname()[1] for s in sockets))')
	athena_url=https://127.0.0.1:${ports[0]}
	slow_athena_url=https://127.0.0.1:${ports[1]}
	http2_athena_url=https://127.0.0.1:${ports[2]}
	s3_url=https://127.0.0.1:${ports[3]}
	slow_s3_url=https://127.0.0.1:${ports[4]}
	endpoint_configuration "${ports[@]}" | "${as_user[@]}" tee "$endpoint/nginx.conf" >/dev/null
	quietly "${as_user[@]}" nginx -p "$endpoint" -c nginx.conf -e "$endpoint/error.log"
	endpoint_started=yes
}

# Has S3 answer with the checksums of its objects, as it does: to be called when they are there.
add_checksums() {
	"${as_user[@]}" python3 - "$endpoint/s3" <<-'END' | "${as_user[@]}" tee "$endpoint/checksums" >/dev/null
		import base64, pathlib, sys, zlib
		for path in pathlib.Path(sys.argv[1]).rglob('*.csv'):
		    checksum = base64.b64encode(zlib.crc32(path.read_bytes()).to_bytes(4, 'big')).decode()
		    print(f'/file/{path.relative_to(sys.argv[1])} {checksum};')
	END
	quietly "${as_user[@]}" nginx -p "$endpoint" -c nginx.conf -e "$endpoint/error.log" -s reload
}

stop_endpoint() {
	[ -n "$endpoint_started" ] || return 0
	"${as_user[@]}" nginx -p "$endpoint" -c nginx.conf -e "$endpoint/error.log" -s stop >/dev/null 2>&1 || true
}
