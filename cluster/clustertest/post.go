package clustertest

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// Mail is what happens to raft's messages, which under TCP are never lost alone, never come
// twice and never overtake each other. raft must not need that.
type Mail struct {
	Loss  float64 // part of the messages that do not arrive, and of those whose answers do not
	Twice float64 // part that comes once more, up to Late after it was answered
	Late  time.Duration
}

// errLost is what a caller gets of a message that was lost.
var errLost = errors.New("lost on the way")

// post is raft's transport with the fabric's Mail. It offers no pipeline, so that every
// message has a fate of its own.
type post struct {
	raft.Transport
	f    *fabric
	ctx  context.Context // ends with Close
	end  context.CancelFunc
	late sync.WaitGroup
}

var (
	_ raft.WithPreVote = (*post)(nil)
	_ raft.WithClose   = (*post)(nil)
)

func newPost(t raft.Transport, f *fabric) *post {
	p := &post{Transport: t, f: f}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p
}

// Close implements raft.WithClose.
func (p *post) Close() error {
	p.end()
	p.late.Wait()
	return p.Transport.(raft.WithClose).Close()
}

// send delivers a message as the Mail has it. again must not touch what send's caller reads.
func (p *post) send(deliver, again func() error) error {
	m := p.f.mailNow()
	if p.f.chance(m.Loss) {
		return errLost
	}
	err := deliver()
	if err == nil && p.f.chance(m.Twice) {
		wait := time.Duration(p.f.share() * float64(m.Late))
		p.late.Go(func() {
			select {
			case <-time.After(wait):
				_ = again()
			case <-p.ctx.Done():
			}
		})
	}
	if p.f.chance(m.Loss) {
		return errLost
	}
	return err
}

// AppendEntriesPipeline implements raft.Transport.
func (p *post) AppendEntriesPipeline(id raft.ServerID, addr raft.ServerAddress) (raft.AppendPipeline, error) {
	if p.f.mailNow() == (Mail{}) {
		return p.Transport.AppendEntriesPipeline(id, addr)
	}
	return nil, raft.ErrPipelineReplicationNotSupported
}

// AppendEntries implements raft.Transport.
func (p *post) AppendEntries(id raft.ServerID, addr raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	copied := *args
	return p.send(
		func() error { return p.Transport.AppendEntries(id, addr, args, resp) },
		func() error { return p.Transport.AppendEntries(id, addr, &copied, &raft.AppendEntriesResponse{}) })
}

// RequestVote implements raft.Transport.
func (p *post) RequestVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	copied := *args
	return p.send(
		func() error { return p.Transport.RequestVote(id, addr, args, resp) },
		func() error { return p.Transport.RequestVote(id, addr, &copied, &raft.RequestVoteResponse{}) })
}

// RequestPreVote implements raft.WithPreVote.
func (p *post) RequestPreVote(id raft.ServerID, addr raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	pre, copied := p.Transport.(raft.WithPreVote), *args
	return p.send(
		func() error { return pre.RequestPreVote(id, addr, args, resp) },
		func() error { return pre.RequestPreVote(id, addr, &copied, &raft.RequestPreVoteResponse{}) })
}

// InstallSnapshot implements raft.Transport. Its data can be read once, so it comes once.
func (p *post) InstallSnapshot(id raft.ServerID, addr raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	if p.f.chance(p.f.mailNow().Loss) {
		return errLost
	}
	return p.Transport.InstallSnapshot(id, addr, args, resp, data)
}
