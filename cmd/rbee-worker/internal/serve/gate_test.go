package serve

import (
	"testing"
	"testing/synctest"
)

func TestGateWaitsForTheLastOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		for range 2 {
			if !g.enter() {
				t.Fatal("an open gate lets nobody in")
			}
		}
		closed := make(chan struct{})
		go func() {
			g.close()
			close(closed)
		}()
		synctest.Wait()
		if g.enter() {
			t.Fatal("a closing gate lets somebody in")
		}
		g.leave()
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("closed with somebody inside")
		default:
		}
		g.leave()
		<-closed
		g.close() // again is nothing
	})
}
