// SPDX-License-Identifier: MIT

package peer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	corepeer "github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	pingPongID = protocol.ID("/pingpong/1.0.0")
	perfID     = protocol.ID("/perf/1.0.0")
	sumID      = protocol.ID("/peerup-test/sum/1.0.0")
	reverseID  = protocol.ID("/peerup-test/reverse/1.0.0")
	resetID    = protocol.ID("/peerup-test/reset/1.0.0")

	chunk          = 64 << 10
	pingLineMax    = 64
	perfBytesMax   = 1 << 30
	streamDeadline = 60 * time.Second
	// More than all windows and queues between the two, so that a reset finds it under way.
	resetAnswerBytes = 256 << 20
)

func (n *node) serveProtocols() {
	serve := func(id protocol.ID, f func(network.Stream) error) {
		n.host.SetStreamHandler(id, func(s network.Stream) {
			s.SetDeadline(time.Now().Add(streamDeadline))
			if !n.mayUse(s.Conn().RemotePeer()) || f(s) != nil {
				s.Reset()
				return
			}
			s.Close()
		})
	}
	serve(pingPongID, servePingPong)
	serve(perfID, servePerf)
	serve(sumID, n.serveSum)
	serve(reverseID, n.serveReverse)
	serve(resetID, serveReset)
	// The same under a service's name, so that a peerup proxy can open it.
	serve(serviceProtocol("sum"), n.serveSum)
	serve(serviceProtocol("curt"), serveCurt)
}

func servePingPong(s network.Stream) error {
	line, err := bufio.NewReader(io.LimitReader(s, pingLineMax)).ReadString('\n')
	if err != nil {
		return err
	}
	answer := "unknown\n"
	if strings.TrimSpace(line) == "ping" {
		answer = "pong\n"
	}
	_, err = io.WriteString(s, answer)
	return err
}

func pingPong(s network.Stream, line string) (string, error) {
	if _, err := io.WriteString(s, line); err != nil {
		return "", err
	}
	return bufio.NewReader(io.LimitReader(s, pingLineMax)).ReadString('\n')
}

// zeros is endless; what perf carries is content free.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func sendZeros(w io.Writer, n uint64) error {
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, io.LimitReader(zeros{}, int64(n)), make([]byte, chunk))
	return err
}

func servePerf(s network.Stream) error {
	var head [8]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	down := binary.BigEndian.Uint64(head[:])
	if down > perfBytesMax {
		return errors.New("more than the largest answer")
	}
	if _, err := io.Copy(io.Discard, s); err != nil {
		return err
	}
	return sendZeros(s, down)
}

// perf also checks that nothing comes back before the upload's end.
func perf(s network.Stream, up, down uint64) (map[string]any, error) {
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], down)
	if _, err := s.Write(head[:]); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	uploaded, early, got := false, false, uint64(0)
	done := make(chan error, 1)
	go func() {
		buf := make([]byte, chunk)
		for {
			k, err := s.Read(buf)
			mu.Lock()
			early = early || (k > 0 && !uploaded)
			got += uint64(k)
			mu.Unlock()
			if err != nil {
				if err == io.EOF {
					err = nil
				}
				done <- err
				return
			}
		}
	}()
	if err := sendZeros(s, up); err != nil {
		return nil, err
	}
	mu.Lock()
	uploaded = true
	mu.Unlock()
	if err := s.CloseWrite(); err != nil {
		return nil, err
	}
	if err := <-done; err != nil {
		return nil, err
	}
	return map[string]any{"received": got, "early": early}, nil
}

// counters are what the command "stats" tells.
type counters struct{ sums, reverses, resets atomic.Uint64 }

// peak is the largest number of things that were going on at once.
type peak struct {
	mu       sync.Mutex
	now, max int
}

func (p *peak) enter() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now++
	p.max = max(p.max, p.now)
}

func (p *peak) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now--
}

func (p *peak) largest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.max
}

// The sum protocol: an eight-byte big-endian length, that many bytes, end; the answer is their
// SHA-256 and an end.
func (n *node) serveSum(s network.Stream) error {
	var head [8]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	n.sums.enter()
	defer n.sums.leave()
	h := sha256.New()
	k, err := io.Copy(h, s)
	if err != nil {
		return err
	}
	if uint64(k) != binary.BigEndian.Uint64(head[:]) {
		return fmt.Errorf("announced another length than the %d bytes that came", k)
	}
	if _, err = s.Write(h.Sum(nil)); err == nil {
		n.served.sums.Add(1)
	}
	return err
}

// The reverse: the opener sends an eight-byte big-endian length, the answer is that many bytes,
// their SHA-256 and an end; then the opener repeats the SHA-256 and ends.
func (n *node) serveReverse(s network.Stream) error {
	var head [8]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint64(head[:])
	if size > perfBytesMax {
		return errors.New("more than the largest answer")
	}
	h := sha256.New()
	if err := sendPattern(s, h, 0, size); err != nil {
		n.served.resets.Add(1)
		return err
	}
	digest := h.Sum(nil)
	if _, err := s.Write(digest); err != nil {
		return err
	}
	if err := s.CloseWrite(); err != nil {
		return err
	}
	repeated, err := io.ReadAll(io.LimitReader(s, 2*sha256.Size))
	if err != nil {
		return err
	}
	if !bytes.Equal(repeated, digest) {
		return errors.New("another SHA-256")
	}
	n.served.reverses.Add(1)
	return nil
}

func reverse(s network.Stream, size uint64) error {
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], size)
	if _, err := s.Write(head[:]); err != nil {
		return err
	}
	h := sha256.New()
	if _, err := io.CopyN(h, s, int64(size)); err != nil {
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(s, 2*sha256.Size))
	if err != nil {
		return err
	}
	digest := h.Sum(nil)
	if !bytes.Equal(answer, digest) {
		return errors.New("the bytes and their SHA-256 don't agree")
	}
	if _, err := s.Write(digest); err != nil {
		return err
	}
	return s.CloseWrite()
}

// serveReset resets its stream after eight bytes.
func serveReset(s network.Stream) error {
	var head [8]byte
	if _, err := io.ReadFull(s, head[:]); err != nil {
		return err
	}
	return errors.New("a reset was asked for")
}

// sumAll runs count exchanges at once.  No stream sends its bytes before all have sent their
// length, so all of them are open at the same time.
func (n *node) sumAll(ctx context.Context, p corepeer.ID, id protocol.ID, count int, size uint64) error {
	var ready sync.WaitGroup
	ready.Add(count)
	return atOnce(count, func(i int) error { return n.sumOne(ctx, p, id, byte(i), size, &ready) })
}

func atOnce(count int, do func(i int) error) error {
	var all sync.WaitGroup
	var mu sync.Mutex
	var failures []error
	for i := range count {
		all.Add(1)
		go func() {
			defer all.Done()
			if err := do(i); err != nil {
				mu.Lock()
				failures = append(failures, fmt.Errorf("stream %d: %w", i, err))
				mu.Unlock()
			}
		}()
	}
	all.Wait()
	return errors.Join(failures...)
}

// pattern differs from stream to stream and from block to block.
func pattern(buf []byte, stream byte, block int) {
	for i := range buf {
		buf[i] = stream ^ byte(i*7) ^ byte(block*31)
	}
}

func (n *node) sumOne(ctx context.Context, p corepeer.ID, id protocol.ID, tag byte, size uint64, ready *sync.WaitGroup) error {
	s, err := n.openSum(ctx, p, id, size)
	ready.Done()
	if err != nil {
		return err
	}
	defer s.Close()
	ready.Wait()
	h := sha256.New()
	if err := sendPattern(s, h, tag, size); err != nil {
		s.Reset()
		return err
	}
	if err := s.CloseWrite(); err != nil {
		s.Reset()
		return err
	}
	answer, err := io.ReadAll(io.LimitReader(s, 2*sha256.Size))
	if err != nil {
		s.Reset()
		return err
	}
	if string(answer) != string(h.Sum(nil)) {
		return fmt.Errorf("answer %x is not the SHA-256", answer)
	}
	return nil
}

func (n *node) openSum(ctx context.Context, p corepeer.ID, id protocol.ID, size uint64) (network.Stream, error) {
	s, err := n.host.NewStream(network.WithNoDial(onCircuits(ctx), "sum"), p, id)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.SetDeadline(deadline)
	}
	var head [8]byte
	binary.BigEndian.PutUint64(head[:], size)
	if _, err := s.Write(head[:]); err != nil {
		s.Reset()
		return nil, err
	}
	return s, nil
}

func sendPattern(w io.Writer, h hash.Hash, tag byte, size uint64) error {
	buf := make([]byte, chunk)
	for block := 0; size > 0; block++ {
		part := buf[:min(uint64(len(buf)), size)]
		pattern(part, tag, block)
		h.Write(part)
		if _, err := w.Write(part); err != nil {
			return err
		}
		size -= uint64(len(part))
	}
	return nil
}

// serveCurt reads one byte, answers with 100,000 and closes in go's way: without reading on, so
// with STOP_SENDING and FIN together.
func serveCurt(s network.Stream) error {
	var one [1]byte
	if _, err := io.ReadFull(s, one[:]); err != nil {
		return err
	}
	return sendZeros(s, 100000)
}
