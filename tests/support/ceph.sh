#!/usr/bin/env bash
# A real S3 server for tests, on loopback: one Ceph monitor, one OSD in memory, one RADOS Gateway. Ready in about 12 s.
#
#   apt-get install -y radosgw ceph-mon ceph-osd ceph-common uuid-runtime curl     (Debian 12: Ceph 16.2)
#   ceph.sh start DIR [PORT]     S3 at http://127.0.0.1:PORT (7480; the two ports after it are taken too), path style,
#                                region us-east-1, access key "test", secret "testtest"; data and logs under DIR
#   ceph.sh stop DIR             ends it; DIR stays
#   ceph.sh serve DIR [PORT]     starts it, says so in a line, and ends it at the end of its input: whoever holds the other
#                                end of a pipe leaves no server behind, not even when killed
set -euo pipefail

usage() { sed -n '4,9s/^# \{0,1\}//p' "$0" >&2; exit 2; }

action=${1:-}
[ -n "${2:-}" ] || usage
dir=$(realpath -m "$2")
port=${3:-7480}
monitor=$((port + 1))
monitor_v1=$((port + 2))
ceph=(-c "$dir/ceph.conf")

configuration() {
  cat <<CONF
[global]
fsid=$1
mon_host=[v2:127.0.0.1:$monitor/0,v1:127.0.0.1:$monitor_v1/0]
mon_initial_members=a
public_addr=127.0.0.1
auth_allow_insecure_global_id_reclaim=false
osd_pool_default_size=1
osd_pool_default_min_size=1
osd_pool_default_pg_num=4
osd_crush_chooseleaf_type=0
osd_objectstore=memstore
memstore_device_bytes=2147483648
mon_warn_on_pool_no_redundancy=false
mon_allow_pool_size_one=true
mon_data_avail_crit=1
mon_data_avail_warn=1
run_dir=$dir/run
admin_socket=$dir/run/\$name.asok
log_file=$dir/log/\$name.log
pid_file=$dir/run/\$name.pid
keyring=$dir/keyring
[mon.a]
mon_data=$dir/mon
[osd.0]
osd_data=$dir/osd
keyring=$dir/keyring
[client.rgw.a]
rgw_frontends=beast endpoint=127.0.0.1:$port tcp_nodelay=1
rgw_data=$dir/rgw
rgw_crypt_require_ssl=false
rgw_crypt_s3_kms_backend=testing
rgw_crypt_s3_kms_encryption_keys=entra-backup=$(head -c 32 /dev/zero | base64)
keyring=$dir/keyring
CONF
}

keys() {
  local add=(ceph-authtool "$dir/keyring" --gen-key)
  ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon 'allow *'
  "${add[@]}" -n client.admin --cap mon 'allow *' --cap osd 'allow *'
  "${add[@]}" -n osd.0 --cap mon 'allow profile osd' --cap osd 'allow *'
  "${add[@]}" -n client.rgw.a --cap mon 'allow rwx' --cap osd 'allow rwx'
}

start() {
  local fsid osd
  fsid=$(uuidgen)
  osd=$(uuidgen)
  mkdir -p "$dir"/{mon,osd,rgw,run,log}
  configuration "$fsid" > "$dir/ceph.conf"
  {
    keys
    monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$monitor,v1:127.0.0.1:$monitor_v1]" "$dir/monmap"
    ceph-mon "${ceph[@]}" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    ceph-mon "${ceph[@]}" -i a
    ceph "${ceph[@]}" osd new "$osd"
    ceph-osd "${ceph[@]}" -i 0 --mkfs --osd-uuid "$osd"
    ceph-osd "${ceph[@]}" -i 0
    radosgw "${ceph[@]}" -n client.rgw.a
  } > "$dir/log/start.log" 2>&1 || { cat "$dir/log/start.log" >&2; exit 1; }
  for _ in $(seq 120); do
    curl -fs "http://127.0.0.1:$port/" > "$dir/log/answer.xml" && break
    sleep 0.5
  done
  [ -s "$dir/log/answer.xml" ] || { echo "the gateway does not answer; see $dir/log" >&2; exit 1; }
  radosgw-admin "${ceph[@]}" user create --uid=test --display-name=test --access-key=test --secret=testtest \
    >> "$dir/log/start.log"
  echo "S3 ready at http://127.0.0.1:$port"
}

stop() {
  local file
  for file in "$dir"/run/*.pid; do
    [ -f "$file" ] || continue
    # At once: everything is in memory, and an OSD that is asked to end first waits for its monitor.
    kill -KILL "$(cat "$file")" 2> /dev/null || true
    rm -f "$file"
  done
}

serve() {
  trap stop EXIT
  start < /dev/null
  cat > /dev/null
}

case $action in
  start | stop | serve) "$action" ;;
  *) usage ;;
esac
