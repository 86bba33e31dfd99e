"""Procedural scenes: Gen(seed).scene() -> (img uint8 HxWx3 RGB, lab uint8 HxWx2).
lab[...,0] = id of the visible object (1..49) or background region (100..); lab[...,1] = part in it (0 = body).
Run: python scenes.py OUT.npy COUNT SEED   (uint8 COUNT x 256 x 256 x 5)"""
import sys, time, numpy as np, cv2
cv2.setNumThreads(1)
S = 256
YY, XX = np.mgrid[0:S, 0:S].astype(np.float32)
FULL = (slice(0, S), slice(0, S))


def blur(img, s): return np.stack([cv2.GaussianBlur(c, (0, 0), s) for c in img])


class Gen:
    def __init__(self, seed):
        self.r = np.random.default_rng(seed); self.w = FULL          # w = window being painted
        self.bank = [self._noise() for _ in range(48)] + [self._cells() for _ in range(12)]

    # ---------- textures ----------
    def _noise(self):
        r, n = self.r, 384
        out = np.zeros((n, n), np.float32)
        f0, ani = 2 ** r.uniform(1, 5), 2 ** r.uniform(0, 3) if r.random() < .4 else 1
        amp = 1.0
        for _ in range(r.integers(1, 5)):
            a, b = max(2, int(f0)), max(2, int(f0 * ani))
            if max(a, b) > n: break
            out += amp * cv2.resize(r.random((a, b), np.float32), (n, n), interpolation=cv2.INTER_CUBIC)
            amp *= r.uniform(.4, .8); f0 *= 2
        return (out - out.min()) / (out.max() - out.min() + 1e-6)

    def _cells(self):
        r, n = self.r, 384
        p = np.full((n, n), 255, np.uint8)
        k = int(2 ** r.uniform(5, 9))
        p[r.integers(0, n, k), r.integers(0, n, k)] = 0
        d, lab = cv2.distanceTransformWithLabels(p, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        if r.random() < .5: return r.random(k + 2).astype(np.float32)[lab]
        return np.clip(d / np.percentile(d, 98), 0, 1).astype(np.float32)

    def noise(self):
        r = self.r
        b = self.bank[r.integers(len(self.bank))]
        y, x = r.integers(0, 384 - S, 2)
        b = b[y:y + S, x:x + S]
        k = r.integers(8)
        if k & 1: b = b[::-1]
        if k & 2: b = b[:, ::-1]
        if k & 4: b = b.T
        return b[self.w]

    def ramp(self, period, ang=None):
        a = self.r.uniform(0, 2 * np.pi) if ang is None else ang
        return (XX[self.w] * float(np.cos(a) / period) + YY[self.w] * float(np.sin(a) / period))

    def pattern(self):
        r, k = self.r, self.r.random()
        if k < .14: return np.full(XX[self.w].shape, .5, np.float32)
        if k < .28:
            g = self.ramp(r.uniform(80, 350)); return np.clip(g - g.min(), 0, 1)
        if k < .34:
            c = r.uniform(0, S), r.uniform(0, S)
            return np.clip(np.hypot(XX[self.w] - c[0], YY[self.w] - c[1]) / r.uniform(40, 250), 0, 1)
        if k < .62: return self.noise()
        if k < .74:
            p = np.sin(self.ramp(r.uniform(.7, 7)) + (self.noise() * r.uniform(0, 12) if r.random() < .6 else 0))
            return p * .5 + .5 if r.random() < .5 else (p > r.uniform(-.6, .6)).astype(np.float32)
        if k < .80:
            a, p = r.uniform(0, 1.6), r.uniform(4, 26)
            return ((np.floor(self.ramp(p, a)) + np.floor(self.ramp(p, a + np.pi / 2))) % 2).astype(np.float32)
        if k < .86:
            a, p = r.uniform(0, 1.6), r.uniform(1.2, 6)
            return (np.sin(self.ramp(p, a)) * np.sin(self.ramp(p, a + np.pi / 2)) > r.uniform(.1, .6)).astype(np.float32)
        n = self.noise(); t = r.uniform(.3, .7)
        return np.clip((n - t) * r.uniform(2, 20) + .5, 0, 1)

    def color(self):
        r = self.r
        if r.random() < .5:
            h, s, v = r.uniform(0, 180), 255 * r.beta(1.2, 1.4), 255 * r.uniform(.08, 1)
        else:
            h, s, v = r.choice([12, 18, 25, 40, 60, 105]) + r.normal(0, 6), 255 * r.beta(1.2, 3), 255 * r.beta(1.6, 1.6)
        c = cv2.cvtColor(np.uint8([[[h % 180, s, v]]]), cv2.COLOR_HSV2RGB)[0, 0]
        return c.astype(np.float32) / 255

    def near(self, c, d=None):
        r = self.r
        d = float(r.choice([.04, .1, .2, .45])) if d is None else d
        lum = r.normal(0, d)
        return np.clip(c + lum + r.normal(0, d * .5, 3), 0, 1).astype(np.float32)

    def texture(self, base=None):
        r = self.r
        c1 = self.color() if base is None else self.near(base, .05)
        t = self.pattern()
        c1 = c1[:, None, None]
        out = c1 + (self.near(c1[:, 0, 0])[:, None, None] - c1) * t
        if r.random() < .35:
            t = self.pattern()
            out = out + (self.near(c1[:, 0, 0])[:, None, None] - out) * (t * r.uniform(.3, 1))
        if r.random() < .5:
            out = out + (self.noise() - .5) * r.uniform(.02, .25)
        return out.astype(np.float32)

    # ---------- shapes (drawn at 2x, returned as soft alpha) ----------
    def shape(self, cx, cy, rad, kind=None):
        r = self.r
        w, self.w = self.w, FULL
        m = np.zeros((2 * S, 2 * S), np.uint8)
        cx, cy, rad = cx * 2, cy * 2, rad * 2
        kind = kind or r.choice(['ell', 'rect', 'poly', 'blob', 'ring', 'thin', 'union', 'star', 'text', 'circle'],
                                p=[.13, .12, .12, .22, .05, .07, .16, .04, .03, .06])
        ang = r.uniform(0, 360); th = np.arange(0, 2 * np.pi, .05)
        asp = r.uniform(.3, 1)
        rot = lambda p: (p @ np.array([[np.cos(ang), np.sin(ang)], [-np.sin(ang), np.cos(ang)]]) + [cx, cy]).astype(np.int32)
        if kind == 'ell': cv2.ellipse(m, (int(cx), int(cy)), (int(rad), int(rad * asp)), ang, 0, 360, 255, -1)
        elif kind == 'circle': cv2.circle(m, (int(cx), int(cy)), int(rad), 255, -1)
        elif kind == 'rect':
            if r.random() < .4: ang = r.normal(0, .05)
            u, h = rad, rad * asp
            if r.random() < .5: u, h = h, u
            cv2.fillPoly(m, [rot(np.array([[-u, -h], [u, -h], [u, h], [-u, h]]))], 255)
            if r.random() < .4 and rad > 12:
                k = int(rad * asp * r.uniform(.2, .8)) | 1
                m = (cv2.blur(cv2.blur(m, (k, k)), (k, k)) > 127).astype(np.uint8) * 255
        elif kind == 'poly':
            n = r.integers(3, 8); t = np.sort(r.uniform(0, 2 * np.pi, n))
            q = r.uniform(.5, 1.1, n) * rad
            cv2.fillPoly(m, [rot(np.stack([np.cos(t) * q, np.sin(t) * q * r.uniform(.5, 1)], 1))], 255)
        elif kind == 'star':
            n = r.integers(4, 9); t = np.arange(2 * n) * np.pi / n
            q = np.where(np.arange(2 * n) % 2, r.uniform(.3, .75), 1) * rad
            cv2.fillPoly(m, [rot(np.stack([np.cos(t) * q, np.sin(t) * q], 1))], 255)
        elif kind == 'blob':
            q = np.ones_like(th)
            for k in range(1, r.integers(3, 10)):
                q += r.normal(0, .35 / k ** .7) * np.cos(k * th + r.uniform(0, 6.3))
            q = np.clip(q, .15, 2) * rad / 1.3
            cv2.fillPoly(m, [rot(np.stack([np.cos(th) * q, np.sin(th) * q * r.uniform(.4, 1)], 1))], 255)
        elif kind == 'ring':
            ax = (int(rad * .9), int(rad * .9 * asp))
            cv2.ellipse(m, (int(cx), int(cy)), ax, ang, 0, 360 if r.random() < .7 else r.uniform(120, 330), 255,
                        max(4, int(rad * asp * r.uniform(.15, .5))))
        elif kind == 'thin':
            n = 40; t = np.linspace(-1, 1, n)
            p = np.stack([t * rad * 1.6, rad * (r.normal(0, .4) * t ** 2 + r.normal(0, .2) * np.sin(t * r.uniform(2, 8)))], 1)
            cv2.polylines(m, [rot(p)], False, 255, int(max(4, rad * r.uniform(.04, .3))))
        elif kind == 'union':
            pts = [np.array([cx, cy])]
            for _ in range(r.integers(2, 7)):
                p = pts[r.integers(len(pts))]
                a, l, u = r.uniform(0, 6.3), rad * r.uniform(.3, .9), rad * r.uniform(.1, .5)
                e = p + l * np.array([np.cos(a), np.sin(a)])
                if r.random() < .5: cv2.line(m, tuple(map(int, p)), tuple(map(int, e)), 255, max(3, int(u)))
                else: cv2.ellipse(m, tuple(map(int, (p + e) / 2)), (max(2, int(l * .7)), max(2, int(u))), np.degrees(a), 0, 360, 255, -1)
                pts.append(e)
        elif kind == 'text':
            s = chr(r.integers(65, 91)) + (chr(r.integers(97, 123)) if r.random() < .5 else '')
            fs = rad / 14; cv2.putText(m, s, (int(cx - rad * .7), int(cy + rad * .6)), int(r.integers(0, 5)), fs, 255, max(3, int(fs * r.uniform(2, 6))))
        if r.random() < .25 and rad > 20:      # rough, wavy border
            k = r.uniform(2, rad * .18)
            dx = cv2.resize((self.noise() - .5) * 2 * k, (2 * S, 2 * S)); dy = cv2.resize((self.noise() - .5) * 2 * k, (2 * S, 2 * S))
            m = cv2.remap(m, cv2.resize(XX * 2, (2 * S, 2 * S)) + dx, cv2.resize(YY * 2, (2 * S, 2 * S)) + dy, cv2.INTER_LINEAR)
        a = cv2.resize(m, (S, S), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        self.w = w
        return a

    def shade(self, a, rad):
        """Pseudo-3D light from the distance transform of the mask."""
        r = self.r
        d = cv2.distanceTransform((a > .5).astype(np.uint8), cv2.DIST_L2, 3)
        h = np.sqrt(np.minimum(d, rad * r.uniform(.2, 1.2)) + .01)
        h = cv2.GaussianBlur(h, (0, 0), max(1, rad * .08))
        gx, gy = cv2.Sobel(h, cv2.CV_32F, 1, 0), cv2.Sobel(h, cv2.CV_32F, 0, 1)
        n = np.sqrt(gx * gx + gy * gy + r.uniform(.3, 3))
        l = (gx * float(np.cos(self.light)) + gy * float(np.sin(self.light))) / n
        k = r.uniform(.1, .6)
        out = 1 + k * l
        return out, np.clip(l - .75, 0, 1) * (r.uniform(0, 3) if r.random() < .3 else 0)

    # ---------- scene ----------
    def scene(self):
        r = self.r
        self.light = r.uniform(0, 2 * np.pi)
        lab = np.zeros((S, S, 2), np.uint8)
        img = self.texture(); lab[..., 0] = 100
        for k in range(r.choice([0, 1, 2], p=[.5, .35, .15])):     # wall / table / sky regions
            g = self.ramp(1) if r.random() < .5 else self.ramp(1, np.pi / 2 + r.normal(0, .1))
            g = g + (self.noise() - .5) * float(r.choice([0, 0, 10, 40]))
            t = np.quantile(g[::8, ::8], r.uniform(.2, .8))
            a = np.clip((g - t) * r.uniform(.3, 1) + .5, 0, 1)
            img = img + (self.texture() - img) * a
            lab[a > .5, 0] = 101 + k
        if r.random() < .15:                                          # unlabelled clutter in the background
            img = np.ascontiguousarray(img.transpose(1, 2, 0))
            for _ in range(r.integers(5, 40)):
                p = r.integers(0, S, (2, 2)); cv2.line(img, tuple(map(int, p[0])), tuple(map(int, p[0] + (p[1] - p[0]) // 4)), self.color().tolist(), int(r.integers(1, 4)), cv2.LINE_AA)
            img = np.ascontiguousarray(img.transpose(2, 0, 1))
        if r.random() < .3: img = blur(img, r.uniform(.7, 4))
        n = int(r.integers(2, 13))
        family = r.random() < .3
        fk = r.choice(['ell', 'circle', 'rect', 'blob', 'poly']) if family and r.random() < .7 else None
        fc = self.color() if family and r.random() < .7 else None
        fr = 2 ** r.uniform(3.2, 5) if family else None
        large, large_at = r.random() < .35, int(r.integers(1, 4))
        has_shadow, has_outline = r.random() < .5, r.random() < .15
        for o in range(1, n + 1):
            rad = fr * r.uniform(.8, 1.25) if family else min(2 ** r.uniform(3.2, 7.0), 115)
            if not family and o > 3: rad = min(rad, 60)
            cx, cy = r.uniform(0, S, 2)
            kind = fk
            if large and o == large_at:
                rad = r.uniform(55, 125); cx, cy = r.uniform(.2 * S, .8 * S, 2)
                kind = r.choice(['union', 'blob', 'ell', 'rect', 'poly', 'ring'], p=[.4, .2, .12, .12, .1, .06])
            a = self.shape(cx, cy, rad, kind)
            if a.sum() < 60: continue
            if r.random() < .3: a = cv2.GaussianBlur(a, (0, 0), r.uniform(.5, 1.6))
            x0, y0, bw, bh = cv2.boundingRect((a > 0).astype(np.uint8))
            if has_shadow:
                d = rad * r.uniform(.05, .35); sg = max(.8, rad * r.uniform(.05, .3))
                mg = int(d + 3 * sg)
                w = slice(max(0, y0 - mg), min(S, y0 + bh + mg)), slice(max(0, x0 - mg), min(S, x0 + bw + mg))
                M = np.float32([[1, 0, -d * np.cos(self.light)], [0, 1, -d * np.sin(self.light)]])
                sw = a[w]
                sh = cv2.GaussianBlur(cv2.warpAffine(sw, M, sw.shape[::-1]), (0, 0), sg)
                img[(slice(None),) + w] *= 1 - r.uniform(.2, .7) * sh
            self.w = w = slice(y0, y0 + bh), slice(x0, x0 + bw)
            a = np.ascontiguousarray(a[w]); b = a > .5
            t = self.texture(fc)
            part = np.zeros(a.shape, np.uint8)
            if r.random() < .35:                                      # parts
                for p in range(1, r.integers(2, 4)):
                    if r.random() < .5:
                        pa = self.shape(cx + r.normal(0, rad * .3), cy + r.normal(0, rad * .3), rad * r.uniform(.25, .6))[w]
                    else:
                        g = self.ramp(1); v = g[b]
                        if not len(v): continue
                        pa = np.clip(g - np.quantile(v, r.uniform(.2, .8)) + .5, 0, 1)
                    t = t + (self.texture(fc if r.random() < .3 else None) - t) * pa.astype(np.float32)
                    part[pa > .5] = p
            if r.random() < .6:
                m, spec = self.shade(a, rad); t = t * m + spec
            if has_outline:
                e = cv2.morphologyEx(b.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32)
                t = t * (1 - .8 * e)
            ww = (slice(None),) + w
            img[ww] += (t - img[ww]) * a
            lab[w][b, 0] = o; lab[w][b, 1] = part[b]
            self.w = FULL
        # camera
        if r.random() < .5: img = img * (1 + r.uniform(.1, .7) * (self.ramp(S) - .5))
        if r.random() < .5: img = img * np.clip(r.normal(1, .12, 3), .6, 1.4).astype(np.float32)[:, None, None]
        img = np.clip(img, 0, 1)
        if r.random() < .5: img = img ** r.uniform(.6, 1.6)
        if r.random() < .6: img = blur(img, r.uniform(.4, 1.3))
        if r.random() < .6: img = img + r.standard_normal(img.shape, np.float32) * r.uniform(.005, .06)
        if r.random() < .1: img = np.repeat(img.mean(0, keepdims=True), 3, 0)
        img = np.clip(img * 255, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()
        if r.random() < .5:
            img = cv2.imdecode(cv2.imencode('.jpg', img, [cv2.IMWRITE_JPEG_QUALITY, int(r.integers(25, 90))])[1], 1)
        return img, lab


if __name__ == '__main__':
    out, cnt, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    f = np.lib.format.open_memmap(out, 'w+', np.uint8, (cnt, S, S, 5))
    t = time.time(); g = Gen(seed)
    for i in range(cnt):
        if i % 1000 == 999: g = Gen(seed * 100003 + i)      # fresh noise bank
        im, lab = g.scene(); f[i, ..., :3] = im; f[i, ..., 3:] = lab
        if i % 500 == 0: print(i, f'{time.time()-t:.0f}s', flush=True)
    f.flush(); print('done', time.time() - t)
