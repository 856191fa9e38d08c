package device

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const (
	firstGPU  = "GPU-11111111-aaaa-4bbb-8ccc-000000000001"
	secondGPU = "GPU-22222222-aaaa-4bbb-8ccc-000000000002"
)

// figures writes devices so that a table can hold them: id, MiB in all and free, share, degrees, variables.
func figures(list []Device) (out []string) {
	for _, d := range list {
		text := fmt.Sprintf("%s %s %d", d.ID, d.Kind, d.TotalBytes>>20)
		if d.FreeBytes != nil {
			text += fmt.Sprintf(" free %d", *d.FreeBytes>>20)
		}
		if d.Utilisation != nil {
			text += fmt.Sprintf(" busy %g", *d.Utilisation)
		}
		if d.TemperatureC != nil {
			text += fmt.Sprintf(" at %g", *d.TemperatureC)
		}
		out = append(out, strings.Join(append([]string{text}, d.Env...), " "))
	}
	return out
}

func TestNVIDIA(t *testing.T) {
	const order = "CUDA_DEVICE_ORDER=PCI_BUS_ID "
	for _, c := range []struct {
		file  string
		shown *visible
		want  []string
	}{
		{"nvidia-two.xml", nil, []string{
			"gpu0 cuda 24564 free 18000 busy 0.83 at 61 " + order + "CUDA_VISIBLE_DEVICES=0",
			"gpu1 cuda 24576 free 24255 busy 0 at 34 " + order + "CUDA_VISIBLE_DEVICES=1"}},
		// A GPU in MIG mode holds no process, and CUDA counts otherwise than nvidia-smi beside one.
		{"nvidia-mig.xml", nil, []string{"gpu1 cuda 81920 free 81260 busy 0.02 at 38 CUDA_VISIBLE_DEVICES=" + secondGPU}},
		// One that shares the system's memory has that.
		{"nvidia-shared.xml", nil, []string{"gpu0 cuda 16384 free 9216 busy 0.05 at 52 " + order + "CUDA_VISIBLE_DEVICES=0"}},
		// The agent's own variable binds its engines.
		{"nvidia-two.xml", parseMask(" 1 "), []string{"gpu1 cuda 24576 free 24255 busy 0 at 34 " + order + "CUDA_VISIBLE_DEVICES=1"}},
		{"nvidia-two.xml", parseMask("gpu-1111,7"), []string{"gpu0 cuda 24564 free 18000 busy 0.83 at 61 " + order + "CUDA_VISIBLE_DEVICES=0"}},
		{"nvidia-two.xml", parseMask(""), nil},
	} {
		got, err := newNVIDIA(says(recorded(t, c.file), nil), sixteen, c.shown).read(t.Context())
		if err != nil || !slices.Equal(figures(got), c.want) {
			t.Errorf("%s %+v: %v\n got %q\nwant %q", c.file, c.shown, err, figures(got), c.want)
		}
	}
}

func TestNoNVIDIAIsNoFailure(t *testing.T) {
	for name, err := range map[string]error{"no tool": exec.ErrNotFound, "no device": &toolError{err: exitError(t, "6")}} {
		if got, err := newNVIDIA(says("No devices were found", err), sixteen, nil).read(t.Context()); err != nil || got != nil {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func TestWhatNVIDIACannotSayIsNotGuessed(t *testing.T) {
	two := recorded(t, "nvidia-two.xml")
	for name, text := range map[string]string{
		"nothing": "", "no log": "<log/>", "words": recorded(t, "nvidia-none.txt"), "cut off": two[:len(two)/2],
		"negative": strings.Replace(two, "24564 MiB", "-1 MiB", 1), "absurd": strings.Replace(two, "24564 MiB", "9e14 MiB", 1),
	} {
		if got, err := newNVIDIA(says(text, nil), sixteen, nil).read(t.Context()); err == nil {
			t.Errorf("%s: %q", name, figures(got))
		}
	}
	if _, err := newNVIDIA(says(two, errors.New("it died")), sixteen, nil).read(t.Context()); err == nil {
		t.Error("a tool that failed was believed")
	}
}

// A device that falls off its bus renames no other, and the next start of a worker finds its
// own where it is by then.
func TestADeviceKeepsItsName(t *testing.T) {
	two := recorded(t, "nvidia-two.xml")
	at := strings.Index(two, "\t<gpu id=")
	one := two[:at] + two[strings.Index(two, "</gpu>\n")+len("</gpu>\n"):]
	other := strings.Replace(two, firstGPU, "GPU-33333333", 1) // another card in its place
	n := newNVIDIA(says("", nil), sixteen, nil)
	for _, step := range []struct {
		text string
		want []string
	}{{two, []string{"gpu0=0", "gpu1=1"}}, {one, []string{"gpu1=0"}}, {other, []string{"gpu2=0", "gpu1=1"}}, {two, []string{"gpu0=0", "gpu1=1"}}} {
		list, err := n.parse([]byte(step.text))
		var got []string
		for _, d := range list {
			got = append(got, d.ID+"="+strings.TrimPrefix(d.Env[1], "CUDA_VISIBLE_DEVICES="))
		}
		if err != nil || !slices.Equal(got, step.want) {
			t.Fatalf("%v: %q, want %q", err, got, step.want)
		}
	}
	if list, err := newNVIDIA(says("", nil), sixteen, nil).parse([]byte(one)); err != nil || list[0].ID != "gpu0" {
		t.Fatalf("%v: an agent that starts later: %q", err, figures(list))
	}
}

func FuzzNVIDIA(f *testing.F) {
	for _, name := range []string{"nvidia-two.xml", "nvidia-mig.xml", "nvidia-shared.xml"} {
		f.Add(recorded(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := newNVIDIA(nil, sixteen, nil).parse([]byte(text))
		for _, d := range list {
			if err == nil && (d.ID == "" || d.TotalBytes <= 0 || d.FreeBytes != nil && (*d.FreeBytes < 0 || *d.FreeBytes > d.TotalBytes) ||
				d.Utilisation != nil && !(*d.Utilisation >= 0 && *d.Utilisation <= 1)) {
				t.Fatalf("%q", figures(list))
			}
		}
	})
}
