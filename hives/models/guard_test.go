package models

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"queen-rbee/hives/models/hubtest"
)

func TestPublic(t *testing.T) {
	for _, text := range []string{"127.0.0.1", "127.8.9.1", "10.1.2.3", "172.20.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "100.100.100.200",
		"0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1%eth0", "fd00:ec2::254", "fc00::1", "ff02::1", "::ffff:127.0.0.1",
		"::ffff:10.0.0.1", "::7f00:1", "64:ff9b::7f00:1", "2002:7f00:1::", "168.63.129.16", "198.18.0.1", "192.0.0.192"} {
		if public(netip.MustParseAddr(text)) {
			t.Errorf("%s is taken for public", text)
		}
	}
	for _, text := range []string{"8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"} {
		if !public(netip.MustParseAddr(text)) {
			t.Errorf("%s is taken for private", text)
		}
	}
}

// Private addresses are refused by number, by name, and behind a redirect.
func TestPrivateAddressesAreRefused(t *testing.T) {
	r := newRig(t, func(o *Options) { o.AllowPrivate = false })
	_, port, err := net.SplitHostPort(strings.TrimPrefix(r.hub.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range []string{r.hub.Plain(file), "http://localhost:" + port + "/plain/" + file, "http://[::1]:" + port + "/x", "hf:" + file,
		"http://[::ffff:127.0.0.1]:" + port + "/x", "http://2130706433:" + port + "/x"} {
		_, _, err := r.fetch(Request{Source: source})
		if err == nil || r.hub.Requests() != 0 {
			t.Errorf("%s: %v after %d requests", source, err, r.hub.Requests())
			continue
		}
		if !strings.Contains(source, "2130706433") { // some systems do not know it
			wantCode(t, err, CodeRefused, "models.allow_private")
		}
	}
	_, err = r.store.Inspect(t.Context(), "hf:"+file, 1, 1)
	wantCode(t, err, CodeRefused, "models.allow_private")
	r.empty()
}

// A redirect is a connection as any other: the first may be allowed and the second not. Here
// the client is one whose first host lies, as the test says, on the internet.
func TestRedirectsAreGuarded(t *testing.T) {
	r := newRig(t, func(o *Options) { o.AllowPrivate = false })
	inside := hubtest.New(t)
	inside.Put(file, r.content)
	r.hub.Break(func(hubtest.Ask) hubtest.Fault { return hubtest.Fault{Redirect: inside.Plain(file)} })
	allowHost(r.store, r.hub.URL)
	_, _, err := r.fetch(r.request())
	wantCode(t, err, CodeRefused, "models.allow_private")
	if r.hub.Requests() == 0 || inside.Requests() != 0 {
		t.Errorf("%d requests outside, %d inside", r.hub.Requests(), inside.Requests())
	}
	r.empty()
}

func TestHTTPIsRefused(t *testing.T) {
	r := newRig(t, func(o *Options) { o.AllowHTTP = false })
	_, _, err := r.fetch(Request{Source: r.hub.Plain(file)})
	wantCode(t, err, CodeRefused, "models.allow_http")
	if r.hub.Requests() != 0 {
		t.Error("it was asked")
	}
}
