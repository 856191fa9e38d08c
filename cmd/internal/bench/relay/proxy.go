package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"queen-rbee/cmd/internal/bench"
)

// nginxConf relays streams as nginx's own advice has it: nothing buffered, connections to the
// upstream kept, a worker process for each core, no log of requests.
const nginxConf = `daemon off;
worker_processes %d;
pid %s/pid;
error_log stderr error;
events { worker_connections 20000; use epoll; multi_accept on; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	tcp_nodelay on;
	keepalive_requests 1000000;
	upstream up { server %s; keepalive 1024; keepalive_requests 1000000; }
	server {
		listen %s backlog=4096;
		location / {
			proxy_pass http://up;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_buffering off;
			proxy_read_timeout 600s;
			proxy_send_timeout 600s;
		}
	}
}
`

// haproxyConf is the same for haproxy, which relays as it comes by nature.
const haproxyConf = `global
	nbthread %d
	maxconn 9000
defaults
	mode http
	timeout connect 5s
	timeout client 600s
	timeout server 600s
	option http-no-delay
	http-reuse always
frontend in
	bind %s backlog 4096
	default_backend up
backend up
	server up %s
`

// proxy is a relay that is measured as a baseline.
type proxy struct {
	*program
	addr string
}

// errNoProxy says that a baseline is missing.
type errNoProxy struct{ name string }

func (e errNoProxy) Error() string {
	return e.name + " is not on this machine: make bench-tools installs it"
}

// nginxAtHive starts nginx in front of the hive. Where the machine has none it says so beside a
// row, and there are no pids.
func (b *rig) nginxAtHive(ctx context.Context, r *bench.Rounds, row string) (p *proxy, pids []int, err error) {
	p, err = b.startProxy(ctx, "nginx", addrOf(b.cluster.HiveURLs()[0]))
	if missing, ok := errors.AsType[errNoProxy](err); ok {
		r.Note(row, "%v", missing)
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	if pids, err = p.pids(); err != nil {
		p.stop()
		return nil, nil, err
	}
	return p, pids, nil
}

// startProxy relays from an address of its own to the upstream's.
func (b *rig) startProxy(ctx context.Context, name, upstream string) (*proxy, error) {
	bin, err := exec.LookPath(name)
	if err != nil {
		return nil, errNoProxy{name}
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	b.loads++
	dir := filepath.Join(b.dir, fmt.Sprintf("%s-%d", name, b.loads))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "conf")
	args, text := []string{"-f", path}, fmt.Sprintf(haproxyConf, runtime.NumCPU(), addr, upstream)
	if name == "nginx" {
		// Its workers take another user than root, who could not reach the directory.
		args, text = []string{"-e", "stderr", "-c", path}, fmt.Sprintf(nginxConf, runtime.NumCPU(), dir, upstream, addr)
		if os.Geteuid() == 0 {
			text = "user root;\n" + text
		}
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := launch(dir, name, exec.Command(bin, args...))
	if err != nil {
		return nil, err
	}
	if err := p.watch().listening(ctx, addr); err != nil {
		p.stop()
		return nil, err
	}
	return &proxy{program: p, addr: addr}, nil
}
