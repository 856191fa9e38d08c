package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"queen-rbee/cmd/rbee-keeper/client"
)

type downloadOptions struct {
	client.Download
	cancel, detach bool
}

func modelsDownload(k *keeper) *cobra.Command {
	var o downloadOptions
	cmd := &cobra.Command{
		Use: "download MODEL", Aliases: []string{"pull"}, Short: "Bring a model's file to hives",
		Long: `Bring a model's file to hives, and show how far it is.

Without --hive it goes where the model fits best. A model that is not in the catalog is added with
its --source. Ctrl-C ends the watching alone, unless --cancel is given: the download goes on, and
the same command watches it again, at any queen.`,
		Example: `  rbee-keeper models download qwen --source hf:org/repo/file.gguf
  rbee-keeper models download qwen --hive gpu-1 --hive gpu-2`,
		Args: exactly("the model"),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Model = args[0]
			return k.download(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Source, "source", "", "where hives fetch it: hf:org/repo/file.gguf, https://..., file:PATH")
	f.StringVar(&o.Engine, "engine", "", "engine that runs it (default: llama.cpp, or the only one that takes files)")
	f.StringSliceVar(&o.Hives, "hive", nil, "to this hive (repeatable)")
	f.BoolVar(&o.cancel, "cancel", false, "Ctrl-C ends the download too")
	f.BoolVar(&o.detach, "detach", false, "do not watch it")
	return cmd
}

func (k *keeper) download(ctx context.Context, o downloadOptions) error {
	shown := newTransfer(k.err)
	c, err := k.client(func(text string) { shown.say("[" + text + "]") })
	if err != nil {
		return err
	}
	defer c.Close()
	if o.detach {
		raw, err := c.StartDownload(ctx, o.Download)
		if err != nil || k.output != "table" {
			return errors.Join(err, k.unless(err, raw))
		}
		k.say("accepted; rbee-keeper models download %s shows how far it is", o.Model)
		return nil
	}
	began := false
	done, err := c.WatchDownload(ctx, o.Download, func(p client.DownloadProgress) {
		began = true
		shown.show(p, time.Now())
	})
	shown.end()
	switch {
	case err != nil && ctx.Err() != nil && began:
		return k.leaveDownload(c, o)
	case err != nil:
		return err
	case k.output != "table":
		return k.print(done)
	}
	fmt.Fprintf(k.out, "%s is on %s\n", done.Model, strings.Join(done.Hives, ", "))
	return nil
}

// unless prints an answer if there was no error.
func (k *keeper) unless(err error, v any) error {
	if err != nil {
		return nil
	}
	return k.print(v)
}

// leaveDownload is what Ctrl-C means for a download that is watched.
func (k *keeper) leaveDownload(c *client.Client, o downloadOptions) error {
	if !o.cancel {
		k.say("the download goes on; rbee-keeper models download %s watches it again, models remove --files %s ends it", o.Model, o.Model)
		return &shown{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.EvictModel(ctx, o.Model, o.Hives); err != nil {
		return fmt.Errorf("interrupted, but the download of %s could not be cancelled: %w", o.Model, err)
	}
	k.say("the download of %s is cancelled", o.Model)
	return &shown{}
}

// transfer shows how far files are on all hives together: a bar where a person looks on, else a
// line for every tenth and every change of a hive's state. For one goroutine.
type transfer struct {
	out   io.Writer
	width func() int // of the terminal; nil without one
	hives map[string]client.DownloadProgress
	order []string
	begun time.Time
	first int64 // bytes that were there before
	drawn time.Time
	tenth int64
}

func newTransfer(out io.Writer) *transfer {
	t := &transfer{out: out, hives: map[string]client.DownloadProgress{}}
	if f, ok := out.(*os.File); ok && isTerminal(out) {
		t.width = func() int {
			w, _, err := term.GetSize(int(f.Fd()))
			if err != nil || w < 20 {
				w = 80
			}
			return w
		}
	}
	return t
}

func (t *transfer) show(p client.DownloadProgress, now time.Time) {
	before, known := t.hives[p.Hive]
	if !known {
		t.order = append(t.order, p.Hive)
	}
	t.hives[p.Hive] = p
	done, total := t.sum()
	if t.begun.IsZero() {
		t.begun, t.first = now, done
	}
	if p.State != before.State {
		t.say(p.Hive + ": " + p.State)
	}
	switch {
	case t.width != nil && now.Sub(t.drawn) >= drawEvery:
		t.drawn = now
		fmt.Fprint(t.out, wipe+transferBar(done, total, t.first, now.Sub(t.begun), t.width()-1))
	case t.width == nil && total > 0 && 10*done/total > t.tenth && done < total:
		t.tenth = 10 * done / total
		t.say(fmt.Sprintf("%s of %s", size(done), size(total)))
	}
}

func (t *transfer) sum() (done, total int64) {
	for _, hive := range t.order {
		p := t.hives[hive]
		done += p.Bytes
		total += max(p.TotalBytes, p.Bytes)
	}
	return done, total
}

// say writes a line above the bar.
func (t *transfer) say(text string) {
	if t.width != nil {
		text = wipe + text
		t.drawn = time.Time{}
	}
	fmt.Fprintln(t.out, printable(strings.TrimPrefix(text, wipe), false))
}

// end takes the bar away.
func (t *transfer) end() {
	if t.width != nil && !t.drawn.IsZero() {
		fmt.Fprint(t.out, wipe)
	}
}

// transferBar is the bar in so many columns: how far, how fast and how long it will take.
func transferBar(done, total, before int64, since time.Duration, width int) string {
	text := " " + size(done)
	if total > done {
		text += "/" + size(total)
	}
	if n := done - before; n > 0 && since > 0 {
		rate := float64(n) / since.Seconds()
		text += fmt.Sprintf(", %s/s", size(int64(rate)))
		if total > done {
			text += fmt.Sprintf(", %s left", short(time.Duration(float64(total-done)/rate*float64(time.Second))))
		}
	}
	room := min(40, width-len(text)-2)
	if room < 5 || total == 0 {
		return strings.TrimSpace(text)[:min(max(width, 0), len(text)-1)]
	}
	full := int(float64(room) * float64(done) / float64(total))
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", room-full) + "]" + text
}
