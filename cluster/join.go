package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"queen-rbee/fsm"
)

const (
	joinElection  = time.Minute     // for a reached cluster to find a leader
	tokenPatience = 3 * time.Second // for a refused token to be taken after all
	joinTry       = 15 * time.Second
	maxJoinAnswer = 1 << 20
)

// joinCluster asks the queens at the given addresses for membership until one says yes or
// no, or none of them has answered at all for as long as a request is parked. Only a new queen does it, before it can hear raft.
func (n *node) joinCluster(ctx context.Context) error {
	client := n.joinClient()
	defer client.CloseIdleConnections()
	start, limit := n.cfg.Clock(), n.cfg.Park
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		var last error
		for _, addr := range n.cfg.Join {
			answer, err := n.joinBy(ctx, client, addr)
			if err == nil {
				n.log.Info("joined", "cluster", answer.ClusterID, "leader", answer.Leader)
				return n.dir.joined(answer.ClusterID, answer.Formerly)
			}
			last = err
			if final(err) && (!errors.Is(err, errBadToken) || n.cfg.Clock().Sub(start) > tokenPatience) {
				return err
			}
			var coded *fsm.Error
			if errors.As(err, &coded) { // somebody is there
				limit = joinElection
			}
		}
		if ctx.Err() != nil {
			return nil
		}
		if n.cfg.Clock().Sub(start) > limit {
			return startError(last, "no queen took this one in at %s: %v: check that a queen of the cluster runs there and that the address is its HTTP address", strings.Join(n.cfg.Join, ", "), last)
		}
		n.log.Warn("not joined yet", "why", last)
		if !sleep(ctx, pause) {
			return nil
		}
	}
}

// checkJoin tells a member that was started with --join of another cluster. Addresses that
// do not answer are no matter: a member needs none.
func (n *node) checkJoin(ctx context.Context) error {
	client := n.joinClient()
	defer client.CloseIdleConnections()
	for _, addr := range n.cfg.Join {
		start := n.cfg.Clock()
		for {
			_, err := n.joinBy(ctx, client, addr)
			if !final(err) {
				break
			}
			if !errors.Is(err, errBadToken) || n.cfg.Clock().Sub(start) > tokenPatience {
				return err
			}
			if !sleep(ctx, 200*time.Millisecond) {
				return nil
			}
		}
	}
	return nil
}

// errBadToken is a refused token. It is final only after a while: a queen that is just
// starting does not know its own token yet.
var errBadToken = errors.New("the token was refused")

// final tells a no that asking again will not change.
func final(err error) bool {
	var no *StartError
	return errors.As(err, &no)
}

func (n *node) joinClient() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return n.cfg.Network.Dial(ctx, addr) },
		DisableKeepAlives: true,
	}}
}

// joinBy asks at one address. A StartError is a final no, an fsm.Error one to ask again.
func (n *node) joinBy(ctx context.Context, client *http.Client, addr string) (JoinAnswer, error) {
	var answer JoinAnswer
	ctx, cancel := context.WithTimeout(ctx, joinTry)
	defer cancel()
	url, err := joinURL(addr)
	if err != nil {
		return answer, err
	}
	body, err := json.Marshal(n.joinRequest(n.dir.cluster()))
	if err != nil {
		return answer, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return answer, err
	}
	req.Header.Set("Authorization", "Bearer "+n.dir.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := client.Do(req)
	if err != nil {
		return answer, err
	}
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(io.LimitReader(res.Body, maxJoinAnswer))
	if err != nil {
		return answer, err
	}
	if res.StatusCode != http.StatusOK {
		return answer, joinRefusal(addr, res.StatusCode, data)
	}
	if err := json.Unmarshal(data, &answer); err != nil || answer.ClusterID == "" {
		return answer, fmt.Errorf("%s does not answer as a queen", addr)
	}
	return answer, nil
}

func joinRefusal(addr string, status int, data []byte) error {
	var p struct{ Code, Detail string }
	_ = json.Unmarshal(data, &p)
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return startError(errBadToken, "the queen at %s refused the cluster token: give the --token of that cluster; each of its queens has it in its data directory as %s", addr, tokenFile)
	case p.Code == fsm.CodeConflict || p.Code == fsm.CodeInvalid:
		return startError(nil, "the cluster at %s does not take this queen in: %s", addr, p.Detail)
	case p.Code != "":
		return fsm.Errorf(p.Code, "%s", p.Detail)
	}
	return fmt.Errorf("%s answered with status %d", addr, status)
}

// joinRequest presents this queen.
func (n *node) joinRequest(clusterID string) JoinRequest {
	return JoinRequest{ID: n.cfg.Name, Boot: n.cfg.Boot, ClusterID: clusterID, Role: n.dir.role, HTTP: n.cfg.HTTPURL,
		Raft: n.transport.addr, Gossip: n.gossip.addr, Version: n.cfg.Version, Level: fsm.CurrentLevel}
}
