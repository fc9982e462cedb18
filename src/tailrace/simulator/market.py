"""A market with a seed: coins, users, resting orders, and the sweeps that hit them.

Shaped after real output (domain: node_trades, node_fills). A sweep is one aggressor order against several resting
orders: its trades share hash, time and the aggressor's oid. Resting orders keep oid and cloid until filled;
positions move with every trade. Perpetuals count in whole lots, spot in floats: that is where the float noise of
`start_pos` comes from, here as there.

Invariant: (time, coin, buyer oid, seller oid) is unique. An aggressor's oid is fresh per sweep, and the resting
orders of a sweep are distinct, because a sweep is never longer than a book is deep.
"""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random
from typing import NamedTuple

SYSTEM_USER = "0x" + "f" * 40
ZERO_HASH = "0x" + "0" * 64

DEPTH = 64  # resting orders on each side of a book, and so the longest sweep
USERS = 3_000
STORM_COINS = 6  # the first, liquid coins are those that crash

# Known pairs of a time and a block number or oid, and their growth per second (real output of 2025 and 2026).
_BLOCK_AT, _BLOCK_NUMBER, _BLOCKS_PER_SECOND = 1_750_733_796, 639_544_001, 12.674
_OID_AT, _OID, _OIDS_PER_SECOND = 1_741_605_882, 78_656_316_952, 2_962


class Order(NamedTuple):
    """One order as its fills show it. `twap` and `cloid` are JSON."""

    oid: int
    user: int
    twap: str
    cloid: str


class Trade(NamedTuple):
    """One trade. `buyer_start`, `seller_start`: positions before it. `override`: JSON of trade_dir_override."""

    coin: Coin
    buys: bool  # the aggressor is the buyer
    px: float
    sz: float
    hash: str
    override: str
    buyer: Order
    buyer_start: float
    seller: Order
    seller_start: float


class Dust(NamedTuple):
    """A dust conversion: one oid and tid 0 for hundreds of users (node_fills only)."""

    coin: Coin
    oid: int
    px: float
    users: list[tuple[int, float]]  # user, size: the whole position


@dataclass(slots=True)
class Coin:
    """A market's mutable state. Price is `ticks / price_scale`, a lot `1 / lot_scale`."""

    name: str
    weight: float
    ticks: int
    price_scale: int
    lot_scale: int
    lots: float  # mean size of a trade, in lots
    spot: bool = False
    base: str = ""  # of spot: what is bought, and what the buyer pays fees in
    bids: list[Order] = field(default_factory=list)
    asks: list[Order] = field(default_factory=list)
    cursor: int = 0
    positions: dict[int, float] = field(default_factory=dict)


def _coins() -> list[Coin]:
    perp = [
        ("BTC", 24, 81_308, 1, 100_000, 900), ("ETH", 15, 23_939, 10, 10_000, 1_500),
        ("SOL", 9, 147_210, 1_000, 100, 900), ("HYPE", 9, 36_773, 1_000, 100, 1_200),
        ("kPEPE", 3, 10_218, 1_000_000, 1, 60_000), ("XRP", 4, 21_514, 10_000, 1, 700),
        ("ENA", 3, 4_511, 10_000, 1, 900), ("DOGE", 3, 16_412, 100_000, 1, 3_000),
        ("AI16Z", 1, 15_823, 100_000, 10, 1_800), ("PENDLE", 1, 35_816, 10_000, 1, 80),
        ("TRX", 1, 27_225, 100_000, 1, 1_200), ("STX", 1, 63_591, 100_000, 10, 500),
        ("FARTCOIN", 3, 11_027, 10_000, 10, 4_000), ("kBONK", 1, 13_904, 1_000_000, 1, 40_000),
        ("LINK", 2, 13_275, 1_000, 10, 300), ("SUI", 2, 27_340, 10_000, 10, 900),
        ("xyz:TSLA", 2, 24_918, 100, 1_000, 700), ("xyz:NVDA", 1, 17_744, 100, 1_000, 900),
    ]  # fmt: skip
    spot = [
        ("@107", 5, 36_796, 1_000, 100, 900, "HYPE"), ("@142", 2, 104_924, 1, 100_000, 500, "UBTC"),
        ("@151", 2, 23_939, 10, 10_000, 2_000, "UETH"), ("@166", 1, 10_003, 10_000, 100, 15_000, "USDT0"),
        ("PURR/USDC", 2, 20_408, 100_000, 1, 250, "PURR"), ("@11", 1, 145_105, 10**10, 1, 900_000, "CATBAL"),
        ("#1890", 1, 5_215, 10_000, 1, 120, "+1890"), ("#20", 1, 310, 1_000, 1, 60, "+20"),
    ]  # fmt: skip
    coins = [Coin(*row) for row in perp]
    coins += [Coin(*row[:6], spot=True, base=row[6]) for row in spot]
    return coins


def block_number_at(seconds: float) -> int:
    """About the number that the real chain had, or will have, at this epoch second."""
    return int(_BLOCK_NUMBER + (seconds - _BLOCK_AT) * _BLOCKS_PER_SECOND)


class Market:
    """Trades from a seed. `start`: epoch seconds; oids continue from what they really were about then."""

    def __init__(self, rng: Random, start: float) -> None:
        self._rng = rng
        self._random = rng.random
        self.users = [f"0x{rng.getrandbits(160):040x}" for _ in range(USERS)]
        self.users[0] = SYSTEM_USER
        self._oid = int(_OID + (start - _OID_AT) * _OIDS_PER_SECOND)
        self.coins = _coins()
        self._coin_table = _table([coin.weight for coin in self.coins])
        self._twaps = [(rng.randrange(1, USERS), rng.randrange(500_000, 1_800_000)) for _ in range(12)]
        for coin in self.coins:
            coin.bids = [self._resting() for _ in range(DEPTH)]
            coin.asks = [self._resting() for _ in range(DEPTH)]

    def block(self, number: int, count: int, *, storm: bool = False) -> list[Trade]:
        """Exactly `count` trades of block `number`; in a `storm`, one coin is liquidated in long sweeps."""
        trades: list[Trade] = []
        transaction = 0
        crashing = self._rng.randrange(STORM_COINS) if storm else None
        while len(trades) < count:
            transaction += 1 + int(self._random() * 6)
            coin = self.coins[self._coin_table[int(self._random() * 1024)] if crashing is None else crashing]
            length = min(count - len(trades), self._sweep_length(storm))
            self._sweep(trades, coin, length, number, transaction, liquidation=storm and self._random() < 0.8)
        return trades

    def dust(self, count: int) -> Dust:
        """`count` users' remainders of one spot coin, converted under one oid."""
        coin = self.coins[18 + self._rng.randrange(6)]
        price = coin.ticks / coin.price_scale
        users = self._rng.sample(range(1, USERS), count)
        return Dust(coin, self._next_oid(), price, [(user, self._random() * 0.9 / price) for user in users])

    def _sweep(
        self, trades: list[Trade], coin: Coin, length: int, number: int, transaction: int, *, liquidation: bool
    ) -> None:
        """Appends the `length` <= DEPTH trades of one aggressor."""
        random = self._random
        buys = random() < (0.15 if liquidation else 0.5)
        aggressor, digest, override = self._aggressor(number, transaction, liquidation)
        coin.ticks = max(50, coin.ticks + int(random() * 5) - 2)
        px = coin.ticks / coin.price_scale
        book = coin.asks if buys else coin.bids
        for _ in range(length):
            at = coin.cursor = (coin.cursor + 1) % DEPTH
            resting = book[at]
            if resting.user == aggressor.user or random() < 0.4:
                resting = book[at] = self._resting()
            if resting.user == aggressor.user:
                resting = book[at] = resting._replace(user=1 + resting.user % (USERS - 1))
            if random() < 0.2:
                coin.ticks += 1 if buys else -1
                px = coin.ticks / coin.price_scale
            lots = 1 + int(coin.lots * 2 * random() ** 3 * 2)
            buyer, seller = (aggressor, resting) if buys else (resting, aggressor)
            bought, sold = self._move(coin, buyer.user, lots), self._move(coin, seller.user, -lots)
            trades.append(Trade(coin, buys, px, lots / coin.lot_scale, digest, override, buyer, bought, seller, sold))

    def _move(self, coin: Coin, user: int, lots: int) -> float:
        """The user's position before a trade of `lots`; moves it."""
        positions = coin.positions
        start = positions.get(user)
        if coin.spot:
            size = lots / coin.lot_scale
            if start is None:
                start = self._random() ** 6 * coin.lots * 8_000 / coin.lot_scale  # few have much
            if start + size < 0:
                start = self._random() * 3 * -size - size  # a deposit came in: spot cannot be short
            positions[user] = start + (size if size < 0 else size * 0.9996)
            return start
        if start is None:
            start = int(self._rng.gauss(0, 30) * coin.lots) if self._random() < 0.8 else 0
        positions[user] = start + lots
        return start / coin.lot_scale

    def _aggressor(self, number: int, transaction: int, liquidation: bool) -> tuple[Order, str, str]:
        """An order that takes, its transaction's hash and its trade_dir_override."""
        random = self._random
        override, twap, digest, user = '"Na"', "null", "", self._taker()
        dice = random()
        if liquidation or dice < 0.003:
            override = '"LiquidatedMarket"'
        elif dice < 0.004:
            override = '"NetChildVaultPositions"'
        elif dice < 0.005:
            override = f'{{"LiquidatedBackstop":{{"liquidator":"{SYSTEM_USER}"}}}}'
            user = 0
        elif dice < 0.045:
            user, twap_id = self._twaps[int(random() * len(self._twaps))]
            twap, digest = str(twap_id), ZERO_HASH
            if random() < 0.02:
                self._twaps[int(random() * len(self._twaps))] = (self._taker(), twap_id + 1 + int(random() * 3_000))
        return (
            Order(self._next_oid(), user, twap, self._cloid(0.35)),
            digest or self._hash(number, transaction),
            override,
        )

    def _hash(self, number: int, transaction: int) -> str:
        """32 bytes: 10 random, 4, the block number in bytes 11-14, the transaction's index, 15 random (seen)."""
        bits = self._rng.getrandbits(200)
        return f"0x{bits >> 120:020x}04{number:08x}{transaction:04x}{bits & (1 << 120) - 1:030x}"

    def _resting(self) -> Order:
        random = self._random
        # Few makers have most resting orders.
        user = 1 + int(random() ** 4 * 300) if random() < 0.8 else self._taker()
        return Order(self._next_oid(), user, "null", self._cloid(0.7))

    def _taker(self) -> int:
        return 1 + int(self._random() ** 2 * (USERS - 1))

    def _cloid(self, share: float) -> str:
        dice = self._random() / share
        if dice >= 1:
            return "null"
        # Many bots fill a part of the 16 bytes only.
        return f'"0x{self._rng.getrandbits(64 if dice < 0.3 else 128):032x}"'

    def _next_oid(self) -> int:
        self._oid += 1 + int(self._random() * 40)
        return self._oid

    def _sweep_length(self, storm: bool) -> int:
        """One trade in most cases, a long tail up to the depth of a book."""
        length = int((1 - self._random()) ** (-1.0 if storm else -0.55))
        return min(DEPTH, length * (4 if storm else 1))


def _table(weights: list[float]) -> list[int]:
    """1,024 slots, each the index of a weight, as often as it is heavy: a draw is one multiplication."""
    sums = list(accumulate(weights))
    return [bisect(sums, (slot + 0.5) / 1024 * sums[-1]) for slot in range(1024)]
