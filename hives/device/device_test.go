package device

import (
	"context"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"queen-rbee/hives"
)

func TestDetectMeasuresThisMachine(t *testing.T) {
	got, err := NewDetector().Detect(t.Context())
	i := slices.IndexFunc(got, func(d Device) bool { return d.ID == CPU || d.ID == Metal })
	if i < 0 || got[i].TotalBytes < 1<<20 {
		t.Fatalf("%v: got %+v", err, got)
	}
	if f := got[i].FreeBytes; f != nil && (*f < 0 || *f > got[i].TotalBytes) {
		t.Fatalf("free %d of %d", *f, got[i].TotalBytes)
	}
}

func TestDetectHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := NewDetector().Detect(ctx); err == nil {
		t.Fatal("detected under an ended context")
	}
}

func TestOverride(t *testing.T) {
	share := 0.5
	detected := []Device{
		{Device: hives.Device{ID: "cpu", Kind: "cpu", TotalBytes: 100, FreeBytes: ptr(60)}},
		{Device: hives.Device{ID: "gpu1", Kind: "cuda", TotalBytes: 50, FreeBytes: ptr(50), Utilisation: &share}, Env: []string{"A=b"}},
	}
	got := Override(detected, []Declared{
		{ID: "gpu0", Kind: "cuda", TotalBytes: 24 << 30},
		{ID: "cpu", Kind: "cpu", TotalBytes: 40},
		{ID: "gpu1", Kind: "cuda", TotalBytes: 20},
	})
	if len(got) != 3 || got[0].ID != "cpu" || got[1].ID != "gpu0" || got[2].ID != "gpu1" {
		t.Fatalf("got %+v", got)
	}
	if got[0].TotalBytes != 40 || got[0].FreeBytes == nil || *got[0].FreeBytes != 40 {
		t.Fatalf("cpu: %+v", got[0])
	}
	if got[1].FreeBytes != nil || got[1].TotalBytes != 24<<30 {
		t.Fatalf("gpu0: %+v", got[1])
	}
	if got[2].TotalBytes != 20 || *got[2].FreeBytes != 20 || *got[2].Utilisation != share || len(got[2].Env) != 1 {
		t.Fatalf("what was measured of gpu1 is lost: %+v", got[2])
	}
	if *detected[0].FreeBytes != 60 || detected[0].TotalBytes != 100 || *detected[1].FreeBytes != 50 {
		t.Fatal("the argument was changed")
	}
}

// The system's memory is the largest device of most machines, and the slowest.
func TestTheCPUCountsWhereNothingElseDoes(t *testing.T) {
	cpu, gpu := Device{Device: hives.Device{ID: CPU, Kind: KindCPU}}, Device{Device: hives.Device{ID: "gpu0", Kind: KindCUDA}}
	for _, c := range []struct {
		detected []Device
		declared []Declared
		want     int
	}{
		{[]Device{cpu}, nil, 1},
		{[]Device{cpu, gpu}, nil, 1},
		{[]Device{cpu, gpu}, []Declared{{ID: CPU, Kind: KindCPU, TotalBytes: 1}}, 2},
		{[]Device{cpu}, []Declared{{ID: "gpu0", Kind: KindCUDA, TotalBytes: 1}}, 2},
	} {
		if got := Override(c.detected, c.declared); len(got) != c.want || len(got) == 1 && len(c.detected) > 1 && got[0].ID != "gpu0" {
			t.Errorf("%+v under %+v: %+v", c.detected, c.declared, got)
		}
	}
}

func TestCheckNamesTheFieldAndTheFix(t *testing.T) {
	good := Declared{ID: "gpu0", Kind: "cuda", TotalBytes: 1}
	for _, c := range []struct {
		name string
		in   []Declared
		want []string
	}{
		{"good", []Declared{good}, nil},
		{"no id", []Declared{{Kind: "cuda", TotalBytes: 1}}, []string{"devices[0].id", "gpu0"}},
		{"slash", []Declared{{ID: "../x", Kind: "cuda", TotalBytes: 1}}, []string{"devices[0].id"}},
		{"twice", []Declared{good, good}, []string{"devices[1].id", "twice"}},
		{"kind", []Declared{{ID: "a", Kind: "tpu", TotalBytes: 1}}, []string{"devices[0].kind", "rocm"}},
		{"size", []Declared{{ID: "a", Kind: "cuda"}}, []string{"devices[0].total_bytes", "24GiB"}},
		{"many", make([]Declared, 65), []string{"devices", "64"}},
	} {
		err := Check(c.in)
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %q does not say %q", c.name, err, w)
			}
		}
	}
}

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]Bytes{
		"0": 0, "1024": 1024, "24GiB": 24 << 30, "24 gib": 24 << 30, "1.5GiB": 3 << 29, "80GB": 80e9,
		"512MiB": 512 << 20, "7b": 7, "9223372036854775807": 1<<63 - 1, " 2TiB ": 2 << 40, "1KB": 1000,
	} {
		if got, err := ParseBytes(in); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "GiB", "-1", "-1GiB", "1e3GiB", "infGiB", "nanb", "1..2GiB", "24 GiBs", "9223372036854775808", "9000000TiB", "0x10", "1_000"} {
		if got, err := ParseBytes(in); err == nil || !strings.Contains(err.Error(), "24GiB") {
			t.Errorf("%q: %d, %v", in, got, err)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	for _, s := range []string{"24GiB", "1.5 MiB", "-1", "9e99TiB", "1024"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := ParseBytes(s)
		if err != nil {
			return
		}
		if b < 0 {
			t.Fatalf("%q gives %d", s, b)
		}
		if back, err := ParseBytes(b.String()); err != nil || (back != b && b < 1<<53) {
			t.Fatalf("%q: %d writes as %q, which reads as %d, %v", s, b, b.String(), back, err)
		}
	})
}

func TestDeclaredYAML(t *testing.T) {
	var got []Declared
	err := yaml.Unmarshal([]byte("[{id: gpu0, kind: cuda, total_bytes: 24GiB}, {id: gpu1, kind: cuda, total_bytes: 1000}]"), &got)
	if err != nil || len(got) != 2 || got[0].TotalBytes != 24<<30 || got[1].TotalBytes != 1000 {
		t.Fatalf("%+v, %v", got, err)
	}
	err = yaml.Unmarshal([]byte("[{id: gpu0,\n total_bytes: lots}]"), &got)
	if err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "24GiB") {
		t.Fatal(err)
	}
}
